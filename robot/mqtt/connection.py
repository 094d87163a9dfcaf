"""Holds one connection to a broker, with the will that tells consumers when it breaks."""

from contextlib import suppress
from dataclasses import dataclass
from threading import Condition
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTErrorCode
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from robot.mqtt.broker import Broker

_KEEPALIVE_S = 4
"""The broker tells the will of a connection that has been silent for one and a half times as long."""
_CONNECT_S = 5.0
_ANSWER_S = 10.0


class ConnectionLost(Exception):
    """There is no connection. What it was to send may have been sent."""


class NotAccepted(Exception):
    """The broker has refused a message, and will again."""


@dataclass(frozen=True)
class Message:
    """A message of QoS 1."""

    topic: str
    payload: bytes
    properties: Properties
    retain: bool = False


class Connection:
    """A connection to a broker, with a session that ends with it: paho keeps no message for a later one.

    A message that was kept would be sent with the expiry that it had, and so outlive its validity.
    """

    def __init__(self, broker: Broker, client_id: str, will: Message) -> None:
        self._broker = broker
        self._changed = Condition()
        self._connected = False
        self._lost: str | None = None
        self._answers: dict[int, ReasonCode] = {}
        self._mqtt = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._mqtt.connect_timeout = _CONNECT_S
        self._mqtt.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=will.properties)
        if broker.user is not None:
            self._mqtt.username_pw_set(broker.user, broker.password)
        if broker.tls:
            self._mqtt.tls_set_context(broker.tls)
        self._mqtt.on_connect = self._on_connect
        self._mqtt.on_disconnect = self._on_disconnect
        self._mqtt.on_publish = self._on_publish

    def __enter__(self) -> Self:
        """Connect. Raises ConnectionLost."""
        try:
            self._mqtt.connect(self._broker.host, self._broker.port, _KEEPALIVE_S, clean_start=True)
        except OSError as error:
            raise ConnectionLost(f"{type(error).__name__}: {error}") from error
        self._mqtt.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected or self._lost, _CONNECT_S)
            if self._connected and not self._lost:
                return self
            lost = self._lost or "no answer"
        self._mqtt.disconnect()
        self._mqtt.loop_stop()
        raise ConnectionLost(lost)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect, and have the broker tell the will."""
        with suppress(ValueError, OSError):
            self._mqtt.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
        self._mqtt.loop_stop()

    def send(self, message: Message) -> None:
        """Send a message, and return once the broker has it. Raises ConnectionLost, NotAccepted."""
        topic, payload = message.topic, message.payload
        sent = self._mqtt.publish(topic, payload, 1, message.retain, message.properties)
        if sent.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionLost(self._lost or sent.rc.name)
        with self._changed:
            self._changed.wait_for(lambda: sent.mid in self._answers or self._lost, _ANSWER_S)
            if sent.mid not in self._answers:
                raise ConnectionLost(self._lost or "the broker does not take a message")
            answer = self._answers.pop(sent.mid)
        if answer.is_failure:
            raise NotAccepted(str(answer))

    def _on_connect(self, _c: Client, _u: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        with self._changed:
            self._connected = not reason.is_failure
            if reason.is_failure:
                self._lost = str(reason)
            self._changed.notify_all()

    def _on_disconnect(self, _c: Client, _u: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        with self._changed:
            self._lost = self._lost or str(reason)
            self._changed.notify_all()

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        with self._changed:
            self._answers[mid] = reason
            self._changed.notify_all()
