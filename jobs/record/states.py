"""Names the kinds of record, the states that a job passes through, and the legal moves between them."""

from enum import StrEnum


class Kind(StrEnum):
    """What a record in the ledger stands for. It is derived from the record, and not stored."""

    JOB = "job"
    """One radiograph, alone or as a view of a study."""
    STUDY = "study"
    """Several jobs, with one summary and one callback."""
    EVENT = "event"
    """An event of a reading: it has a callback, and nothing else."""
    TOMBSTONE = "tombstone"
    """A job or a study that was deleted. That of a study still names the jobs to delete with it."""


class State(StrEnum):
    """The state of an analysis."""

    QUEUED = "queued"
    """It is stored, and waits for a worker."""
    RUNNING = "running"
    """A worker analyses it."""
    SUCCEEDED = "succeeded"
    """It has a result. Final."""
    FAILED = "failed"
    """It has an error that says why. Final, unless an operator retries it."""
    EXPIRED = "expired"
    """No worker took it before its deadline. Final."""
    CANCELED = "canceled"
    """Its client canceled it. Final."""
    ERASED = "erased"
    """It was deleted. A tombstone without content stays, which no client sees. Final."""

    @property
    def final(self) -> bool:
        """Whether the analysis has ended, in any way."""
        return self not in (State.QUEUED, State.RUNNING)


SEEN = tuple(state for state in State if state is not State.ERASED)
"""The states that clients see."""


class Delivery(StrEnum):
    """The state of the callback, apart from that of the analysis."""

    NONE = "none"
    """The client named no callback URL."""
    PENDING = "pending"
    """The callback is sent once the job has ended, or is sent again."""
    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """The last attempt of the schedule has failed."""
    DISABLED = "disabled"
    """The receiver answered 410, or has failed for days: it is not called any more."""


class Priority(StrEnum):
    """How urgently the client wants the answer."""

    STAT = "stat"
    ROUTINE = "routine"
    ARCHIVE = "archive"
    """After everything that a patient waits for: an archive that is analysed once more."""

    @property
    def order(self) -> int:
        """The place among the priorities: the lower goes first."""
        return list(Priority).index(self)


PATIENTS = (Priority.STAT, Priority.ROUTINE)
"""The priorities of jobs that a patient waits for."""


MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.EXPIRED, State.CANCELED, State.ERASED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.QUEUED, State.CANCELED, State.ERASED}),
    State.SUCCEEDED: frozenset({State.ERASED}),
    State.FAILED: frozenset({State.QUEUED, State.ERASED}),
    State.EXPIRED: frozenset({State.ERASED}),
    State.CANCELED: frozenset({State.ERASED}),
    State.ERASED: frozenset(),
}
