"""The states a job passes through, and the moves that are legal between them."""

from enum import StrEnum


class State(StrEnum):
    """Where the analysis of a radiograph stands."""

    QUEUED = "queued"
    """Accepted and durable; waits for a worker."""
    RUNNING = "running"
    """A worker holds it."""
    SUCCEEDED = "succeeded"
    """It has a result. Final."""
    FAILED = "failed"
    """It has an error that says why. Final, unless an operator has it tried again."""
    EXPIRED = "expired"
    """No worker took it up before its deadline. Final."""
    CANCELED = "canceled"
    """Its client wants no result any more. Final."""
    ERASED = "erased"
    """It was deleted: a tombstone without content, which no client sees. Final."""

    @property
    def final(self) -> bool:
        """Whether the analysis has ended, one way or the other."""
        return self not in (State.QUEUED, State.RUNNING)


SEEN = tuple(state for state in State if state is not State.ERASED)
"""The states in which clients see their jobs."""


class Delivery(StrEnum):
    """Where the callback to the client stands, apart from the analysis itself."""

    NONE = "none"
    """The client named no callback URL."""
    PENDING = "pending"
    """To be called once the job has ended, or to be called again."""
    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """Given up after the last attempt of the schedule."""
    DISABLED = "disabled"
    """The receiver answered 410: it wants no more."""


class Priority(StrEnum):
    """How urgently the client wants the answer."""

    STAT = "stat"
    ROUTINE = "routine"


MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.EXPIRED, State.CANCELED, State.ERASED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.QUEUED, State.CANCELED, State.ERASED}),
    State.SUCCEEDED: frozenset({State.ERASED}),
    State.FAILED: frozenset({State.QUEUED, State.ERASED}),
    State.EXPIRED: frozenset({State.ERASED}),
    State.CANCELED: frozenset({State.ERASED}),
    State.ERASED: frozenset(),
}
