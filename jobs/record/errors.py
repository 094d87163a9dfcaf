"""The errors that cross module boundaries, sorted by what may be done about them."""


class TransientError(Exception):
    """Try again later: something outside this process does not answer."""


class StoreUnavailable(TransientError):
    """The object store does not answer, answers with an error of its own, or denies access."""


class StoreRefused(Exception):
    """The object store refuses what it was sent, and would refuse it again: it is too large, for example."""


class QueueUnavailable(TransientError):
    """Redis cannot be asked: it is away, or this process has no connection free."""


class QueueAway(QueueUnavailable):
    """Redis does not answer, or answers with an error. A limit that is counted in Redis is then not kept."""


class QueueBusy(QueueUnavailable):
    """All connections of this process to Redis are in use. Redis may be well, so no limit is lifted."""


class NotStored(LookupError):
    """The object store answered, and there is no such object."""


class Conflict(Exception):
    """Somebody else changed this job first; what this process wanted to write is void."""


class IllegalMove(ValueError):
    """A state change that the table in jobs.record.states does not know."""
