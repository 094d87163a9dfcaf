"""Defines the errors that cross module boundaries, by what can be done about them."""


class TransientError(Exception):
    """Something outside this process does not answer. Try again later."""


class StoreUnavailable(TransientError):
    """The object store does not answer, answers with an error of its own, or denies access."""


class StoreRefused(Exception):
    """The object store refuses what it was sent, for example because it is too large. Do not try again."""


class QueueUnavailable(TransientError):
    """Redis does not answer, or this process has no connection free."""


class QueueAway(QueueUnavailable):
    """Redis does not answer, or answers with an error. Limits that are counted in Redis are not kept then."""


class QueueBusy(QueueUnavailable):
    """All connections of this process to Redis are in use. Redis may work, so limits are kept."""


class NotStored(LookupError):
    """The object store answered that there is no such object."""


class Conflict(Exception):
    """Another process changed this record first. Nothing was written."""


class IllegalMove(ValueError):
    """A change of state that the table in jobs.record.states does not list."""
