"""Defines the exit statuses of `osteo`, for scripts."""

from osteo_client.errors import Busy, JobFailed, OsteoError, Unreachable

ENDED_WITHOUT_RESULT = 1
USAGE = 2
REFUSED = 3
UNAVAILABLE = 4
INTERRUPTED = 130

EXPLAINED = """\
exit status:
  0    done
  1    a job or a reading has ended without a result
  2    called in a wrong way
  3    the service refused something, or a file could not be read
  4    the service does not answer or is too busy: run it again later
  130  interrupted"""


def status_of(error: OsteoError | OSError) -> int:
    """Return the exit status of an error."""
    if isinstance(error, JobFailed):
        return ENDED_WITHOUT_RESULT
    return UNAVAILABLE if isinstance(error, Unreachable | Busy) else REFUSED
