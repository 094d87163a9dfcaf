"""A transport that records what it is given."""

from robot.event import VerifiedTargets
from robot.transport import Status, TransportFull


class FakeTransport:
    """A transport of the tests."""

    def __init__(self) -> None:
        self.events: list[tuple[str, float]] = []
        """The state of each document, and for how many seconds it was to be sent."""
        self.statuses: list[Status] = []
        self.fails: Exception | None = None

    def publish(self, event: VerifiedTargets, remaining_s: float) -> None:
        if self.fails:
            raise self.fails
        self.events.append((event.document["state"], remaining_s))

    def status(self, status: Status) -> None:
        if self.fails:
            raise self.fails
        self.statuses.append(status)

    def close(self) -> None:
        self.statuses.append(Status.OFFLINE)


FULL = TransportFull()
