"""The errors that cross module boundaries, sorted by what may be done about them."""


class TransientError(Exception):
    """Try again later: something outside this process does not answer."""


class StoreUnavailable(TransientError):
    """The object store does not answer, answers with an error of its own, or denies access."""


class QueueUnavailable(TransientError):
    """Redis does not answer."""


class NotStored(LookupError):
    """The object store answered, and there is no such object."""


class Conflict(Exception):
    """Somebody else changed this job first; what this process wanted to write is void."""


class IllegalMove(ValueError):
    """A state change that the table in jobs.states does not know."""
