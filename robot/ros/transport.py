"""Publishes the last event of targets to ROS 2, with publishers of its own, and the status each second."""

import logging
import time
from dataclasses import dataclass
from queue import Full, Queue
from threading import Thread
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from jobs.targets.ros_messages import (
    DIAGNOSTICS,
    LEVEL_OK,
    LEVEL_STALE,
    LEVEL_WARN,
    RosMessage,
    ros_messages,
    ros_time,
)
from jobs.targets.states import TargetState
from robot.event import VerifiedTargets
from robot.metrics import DROPPED
from robot.ros.messages import message_of, message_type
from robot.transport import STATUS_SECONDS, Status, TransportFull

log = logging.getLogger(__name__)

_NANO = 10**9
_MOST_QUEUED = 100
_MATCHED_WITHIN_S, _LOOK_S = 1.0, 0.01
_STATUS_LASTS_S = 2 * STATUS_SECONDS
"""For how long a status holds, and the deadline that is offered: a status may be a little late."""
_OVER = {"level": LEVEL_STALE, "message": TargetState.STALE}
_LEVELS = {Status.ONLINE: LEVEL_OK, Status.DEGRADED: LEVEL_WARN, Status.OFFLINE: LEVEL_STALE}


@dataclass(frozen=True)
class _Queued:
    messages: list[RosMessage]
    until: float
    """By the monotonic clock."""


class RosTransport:
    """The node `osteo`. Its samples are RELIABLE and TRANSIENT_LOCAL: one that joins late gets the last.

    An event gets publishers of its own. Their lifespan, which is a publisher's in ROS 2, is the rest of the
    event's validity; and with the publishers of the event before, its samples go.
    """

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("osteo", context=self._context, enable_rosout=False, start_parameter_services=False)
        self._statuses = self._publisher(*DIAGNOSTICS, _STATUS_LASTS_S, _STATUS_LASTS_S)
        self._current: list[Publisher] = []
        self._told: tuple[dict[str, Any], float] | None = None
        self._missing: set[str] = set()
        self._dropped = DROPPED.labels("ros")
        self._queue: Queue[_Queued | None] = Queue(_MOST_QUEUED)
        self._thread = Thread(target=self._run, name="ros", daemon=True)
        self._thread.start()

    def publish(self, event: VerifiedTargets, remaining_s: float) -> None:
        """Queue an event. Raises TransportFull."""
        # What is not actionable may be passed for longer than its data are valid.
        left_s = min(remaining_s, event.remaining_s(time.time_ns()))
        messages = ros_messages(event.document, round(left_s * _NANO))
        try:
            self._queue.put_nowait(_Queued(messages, time.monotonic() + remaining_s))
        except Full:
            raise TransportFull from None

    def status(self, status: Status) -> None:
        """Publish the status, and that of the last event, as diagnostics."""
        told = [{"level": _LEVELS[status], "name": "osteo: robot", "message": status.value}]
        if current := self._told:  # The thread of this transport may end it meanwhile.
            targets, until = current
            told.append(targets if time.monotonic() < until else targets | _OVER)
        header = {"stamp": ros_time(time.time_ns())}
        kind = message_type(DIAGNOSTICS[1])
        self._statuses.publish(message_of(kind, {"header": header, "status": told}))

    def close(self) -> None:
        """Publish `offline`, and end. What is queued is not published."""
        self.status(Status.OFFLINE)
        while not self._queue.empty():
            self._queue.get()
        self._queue.put(None)
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _run(self) -> None:
        while queued := self._queue.get():
            self._end_current()
            try:
                self._publish(queued)
            except Exception:
                log.exception("an event is not published")
                self._dropped.inc()
                self._end_current()

    def _end_current(self) -> None:
        for publisher in self._current:
            self._node.destroy_publisher(publisher)
        self._current, self._told = [], None

    def _publish(self, queued: _Queued) -> None:
        left_s = queued.until - time.monotonic()
        if left_s <= 0:
            self._dropped.inc()
            return
        made = []
        for message in queued.messages:
            if message.topic == DIAGNOSTICS[0]:
                (status,) = message.fields["status"]
                self._told = status, queued.until
            elif publisher := self._publisher_or_none(message, left_s):
                self._current.append(publisher)
                made.append((publisher, message_of(message_type(message.kind), message.fields)))
        self._await_subscribers()
        if time.monotonic() >= queued.until:
            self._dropped.inc()
            return
        for publisher, sample in made:
            publisher.publish(sample)

    def _publisher_or_none(self, message: RosMessage, lasts_s: float) -> Publisher | None:
        """Return a publisher; None where its type is not installed: PyPI has no vision_msgs and tf2_msgs."""
        topic = message.topic_of("~")
        try:
            return self._publisher(topic, message.kind, lasts_s)
        except ImportError:
            if message.kind not in self._missing:
                log.warning("%s is not published: %s is not installed", topic, message.kind)
                self._missing.add(message.kind)
            return None

    def _publisher(self, topic: str, kind: str, lasts_s: float, deadline_s: float | None = None) -> Publisher:
        quality = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
            lifespan=Duration(seconds=lasts_s),
        )
        if deadline_s is not None:
            quality.deadline = Duration(seconds=deadline_s)
        return self._node.create_publisher(message_type(kind), topic, quality)

    def _await_subscribers(self) -> None:
        """Wait a little for the subscribers that are there already: a volatile one gets no earlier sample."""
        until = time.monotonic() + _MATCHED_WITHIN_S
        while self._queue.empty() and time.monotonic() < until and not all(map(self._matched, self._current)):
            time.sleep(_LOOK_S)

    def _matched(self, publisher: Publisher) -> bool:
        there = self._node.count_subscribers(publisher.topic_name)
        return bool(publisher.get_subscription_count() >= there)
