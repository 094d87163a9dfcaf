"""Defines what sends targets to robots: MQTT, ROS 2 and OpenIGTLink are transports."""

from enum import StrEnum
from typing import Protocol

from robot.event import VerifiedTargets

STATUS_SECONDS = 1.0
"""How often the status is told again, so that its silence means something."""


class Status(StrEnum):
    """What this process can be relied upon for."""

    ONLINE = "online"
    """Targets pass."""
    DEGRADED = "degraded"
    """The service's clock and ours do not agree, or are not compared: nothing actionable passes."""
    OFFLINE = "offline"
    """The process ends, or has died: what it told before is not to be used."""


class TransportFull(Exception):
    """A transport holds as much as it may. The event is refused, and the service sends it again later."""


class Transport(Protocol):
    """A way by which robots get targets.

    The relay calls a transport from several threads, never from two at once. No method waits for a peer: what
    has to be waited for, a thread of the transport does.
    """

    def publish(self, event: VerifiedTargets, remaining_s: float) -> None:
        """Send an event, for `remaining_s` (1 or more): after that no consumer may be given it.

        A transport gets an event once, and again where another one has not taken it; older ones of a job
        never after newer ones, and an actionable one only while it is valid. `remaining_s` of an event that
        is not actionable may be longer than the validity of its data, since a withdrawal has to outlive what
        it withdraws. Raises TransportFull.
        """

    def status(self, status: Status) -> None:
        """Tell consumers the status: every STATUS_SECONDS, and as soon as it changes."""

    def close(self) -> None:
        """Tell consumers `offline`, and end. Nothing is called after it."""
