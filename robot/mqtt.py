"""Sends targets to an MQTT 5 broker."""

from robot.event import TargetsEvent
from robot.outlet import Status


class MqttOutlet:
    """An MQTT 5 broker."""

    def __init__(self, url: str, client: str) -> None: ...

    def publish(self, event: TargetsEvent, remaining_s: float) -> None:
        """Send an event."""

    def status(self, status: Status) -> None:
        """Tell the status."""

    def close(self) -> None:
        """End."""
