"""Defines what an outlet is: a way by which robots get targets. MQTT, ROS 2 and OpenIGTLink are outlets."""

from enum import StrEnum
from typing import Protocol

from robot.event import TargetsEvent

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


class OutletFull(Exception):
    """An outlet holds as much as it may. The event is refused, and the service sends it again later."""


class Outlet(Protocol):
    """A way by which robots get targets.

    The relay calls an outlet from several threads, never from two at once. No method waits for a peer: what
    has to be waited for, a thread of the outlet does.
    """

    def publish(self, event: TargetsEvent, remaining_s: float) -> None:
        """Send an event, for `remaining_s` (1 or more): after that no consumer may be given it.

        An outlet gets an event once, and again where another outlet has not taken it; older ones of a job
        never after newer ones, and an actionable one only while it is valid. `remaining_s` of an event that
        is not actionable may be longer than the validity of its data, since a withdrawal has to outlive what
        it withdraws. Raises OutletFull.
        """

    def status(self, status: Status) -> None:
        """Tell consumers the status: every STATUS_SECONDS, and as soon as it changes."""

    def close(self) -> None:
        """Tell consumers `offline`, and end. Nothing is called after it."""
