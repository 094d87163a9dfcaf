"""Queues targets for a broker: the newest of each job, until it was sent or its validity is over."""

import logging
import random
import time
from dataclasses import dataclass
from threading import Condition, Thread

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from jobs.targets.documents import CLOUDEVENTS
from robot.event import VerifiedTargets
from robot.metrics import DROPPED
from robot.mqtt.broker import Broker
from robot.mqtt.connection import Connection, ConnectionLost, Message, NotAccepted
from robot.transport import Status, TransportFull

log = logging.getLogger(__name__)

_MOST_QUEUED = 1000
_STATUS_LASTS_S = 10
"""For how long a broker keeps a status. It is sent every second."""
_PAUSES_S = (0.5, 10.0)
"""Before the next try to connect: the first pause, which doubles, and the longest."""
_CLOSE_S = 5.0


@dataclass(frozen=True)
class _Queued:
    event: VerifiedTargets
    until: float
    """By the monotonic clock."""

    @property
    def left_s(self) -> int:
        return int(self.until - time.monotonic())


class MqttTransport:
    """An MQTT 5 broker. A thread of its own connects to it, again and again."""

    def __init__(self, broker: Broker, client: str) -> None:
        self._broker = broker
        self._client = client
        self._root = f"osteo/v1/{client}"
        self._queue: dict[str, _Queued] = {}
        self._status: Status | None = None
        self._ended = False
        self._changed = Condition()
        DROPPED.labels("mqtt")
        self._thread = Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def publish(self, event: VerifiedTargets, remaining_s: float) -> None:
        """Queue an event, in place of an older one of its job. Raises TransportFull."""
        with self._changed:
            self._drop_expired()
            self._queue.pop(event.job, None)
            if len(self._queue) >= _MOST_QUEUED:
                raise TransportFull
            self._queue[event.job] = _Queued(event, time.monotonic() + remaining_s)
            self._changed.notify_all()

    def status(self, status: Status) -> None:
        """Have the status sent next."""
        with self._changed:
            self._drop_expired()
            self._status = status
            self._changed.notify_all()

    def close(self) -> None:
        """End the connection, so that the broker tells `offline`. What is queued is not sent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        pause_s, longest_s = _PAUSES_S
        while not self._ended:
            try:
                will = self._status_message(Status.OFFLINE)
                with Connection(self._broker, f"osteo-robot-{self._client}", will) as connection:
                    log.info("connected to the broker")
                    pause_s = _PAUSES_S[0]
                    self._send_until_ended(connection)
            except ConnectionLost as lost:
                log.warning("no connection to the broker: %s", lost)
            except Exception:  # Else the thread would end, and the process send no more.
                log.exception("the connection to the broker has failed")
            with self._changed:
                self._changed.wait_for(lambda: self._ended, pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, longest_s)

    def _send_until_ended(self, connection: Connection) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._status or self._queue)
                if self._ended:
                    return
                status, self._status = self._status, None
                self._drop_expired()
                queued = None if status else next(iter(self._queue.values()), None)
                message = queued and self._targets_message(queued.event, max(1, queued.left_s))
            if status:
                self._accepted(connection, self._status_message(status))
            elif queued and message:
                accepted = self._accepted(connection, message)
                with self._changed:
                    if self._queue.get(queued.event.job) is queued:
                        del self._queue[queued.event.job]
                if not accepted:
                    DROPPED.labels("mqtt").inc()
                    if not queued.event.actionable:  # `offline` withdraws everything that was sent.
                        raise ConnectionLost("it has refused a withdrawal")

    def _accepted(self, connection: Connection, message: Message) -> bool:
        try:
            connection.send(message)
        except NotAccepted as refusal:
            log.error("the broker has refused a message: %s", refusal, extra={"topic": message.topic})
            return False
        return True

    def _drop_expired(self) -> None:
        """Drop what has less than a second left: 0 would be no expiry to some brokers."""
        for job, queued in [*self._queue.items()]:
            if queued.left_s < 1:
                del self._queue[job]
                DROPPED.labels("mqtt").inc()
                log.warning("targets were valid no longer before the broker had them", extra={"job": job})

    def _targets_message(self, event: VerifiedTargets, left_s: int) -> Message:
        properties = Properties(PacketTypes.PUBLISH)
        properties.PayloadFormatIndicator = 1
        properties.ContentType = CLOUDEVENTS
        properties.MessageExpiryInterval = left_s
        if event.traceparent:
            properties.UserProperty = ("traceparent", event.traceparent)
        return Message(f"{self._root}/jobs/{event.job}/targets", event.raw, properties)

    def _status_message(self, status: Status) -> Message:
        """Return the message of a status; that of `offline` is the will, and is kept for good."""
        properties = Properties(PacketTypes.WILLMESSAGE if status is Status.OFFLINE else PacketTypes.PUBLISH)
        properties.PayloadFormatIndicator = 1
        properties.ContentType = "text/plain"
        if status is not Status.OFFLINE:
            properties.MessageExpiryInterval = _STATUS_LASTS_S
            properties.UserProperty = ("time_ns", str(time.time_ns()))
        return Message(f"{self._root}/status", status.encode(), properties, retain=True)
