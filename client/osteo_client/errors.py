"""Defines the exceptions of this package: one for each kind of answer that a caller may tell apart."""

from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Self

import httpx2

from osteo_client.job import Job


class OsteoError(Exception):
    """Everything that this package raises."""


class Unreachable(OsteoError):
    """The service did not answer, for as long as the client's patience lasted."""


class NotTheService(OsteoError):
    """Something answered, but not as the service does: look at the address."""


class NotEnded(OsteoError, TimeoutError):
    """The job had not ended when the time given to `wait` was over. It goes on."""


class JobFailed(OsteoError):
    """The job has ended without a result; `job.error` says why."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} is {job.state}" + (f": {job.error.detail}" if job.error else ""))
        self.job = job

    def __reduce__(self) -> tuple[type[Self], tuple[Job]]:
        return type(self), (self.job,)


class CallbackRejected(OsteoError):
    """This callback was not signed by the service with this secret in the last five minutes."""


class SignatureRejected(OsteoError):
    """The signature of a report is not the service's, or is over something else."""


class Problem(OsteoError):
    """An answer that is an error, as RFC 9457 has it."""

    def __init__(self, status: int, document: dict[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.type = str(document.get("type", "about:blank")).rpartition("/")[2]
        """The last part of the problem's address, such as `no-such-job`."""
        self.detail = str(document.get("detail") or document.get("title") or "no reason given")
        self.retry_after = retry_after
        """Seconds after which to come again, where the service says so."""
        self.document = document
        """The whole problem document."""
        super().__init__(f"{status} {self.type}: {self.detail}")

    def __reduce__(self) -> tuple[type[Self], tuple[int, dict[str, Any], float | None]]:
        return type(self), (self.status, self.document, self.retry_after)


class Malformed(Problem):
    """400: a field is missing, unknown or not of its kind."""


class Unauthorized(Problem):
    """401: the API key is missing, mistyped or withdrawn."""


class Forbidden(Problem):
    """403: the API key may not do this."""


class NoSuchJob(Problem):
    """404: there is no such job, or it belongs to another client."""


class NoSuchKey(Problem):
    """404: there is no such API key, it has ended, or it belongs to another client."""


class NoSuchReading(Problem):
    """404: there is no such reading, or it belongs to another client."""


class NotRead(Problem):
    """422: no reader reads for this client. The operator sets who does."""


class ReadingMoved(Problem):
    """409: the reading is in a state in which this cannot be done."""


class Gone(Problem):
    """410: the job was deleted."""


class TrainingForbidden(Problem):
    """422: no job of this client may be learned from. The operator has set so."""


class ScaleUnknown(Problem):
    """409: the image names no distance between its pixels, so nothing of it has a size."""


class RegistrationRefused(Problem):
    """422: no marker was found, or its pose does not fit what was sent with it."""


class NotReady(Problem):
    """409: the job is not as far as this yet."""


class AlreadyEnded(Problem):
    """409: the job has ended, so there is nothing left to cancel."""


class KeyReused(Problem):
    """422: the idempotency key was used before, for another submission."""


class ImageRefused(Problem):
    """413, 415 or 422: the image is too large, of a kind that is not read, or broken."""


class CallbackRefused(Problem):
    """422: the callback URL may not be called."""


class Busy(Problem):
    """429, 503 or the like: too many submissions, or a part is away. Later the same will do."""


BY_TYPE: dict[str, type[Problem]] = {
    "not-ready": NotReady,
    "job-ended": AlreadyEnded,
    "in-intake": Busy,
    "broken-image": ImageRefused,
    "upload-differs": ImageRefused,
    "callback-refused": CallbackRefused,
    "key-reused": KeyReused,
    "no-such-key": NoSuchKey,
    "no-such-reading": NoSuchReading,
    "not-read": NotRead,
    "reading-moved": ReadingMoved,
    "training-forbidden": TrainingForbidden,
    "scale-unknown": ScaleUnknown,
    "registration-refused": RegistrationRefused,
    "marker-not-found": RegistrationRefused,
}
"""The exceptions of types that share their status. The rest, and what a newer service adds, go by it."""

BY_STATUS: dict[int, type[Problem]] = {
    400: Malformed,
    401: Unauthorized,
    403: Forbidden,
    404: NoSuchJob,
    410: Gone,
    413: ImageRefused,
    415: ImageRefused,
    429: Busy,
    502: Busy,
    503: Busy,
    504: Busy,
}


def problem_of(response: httpx2.Response) -> Problem:
    """Make the exception for an answer of 4xx or 5xx, or for a redirect."""
    document: Any = None
    if response.headers.get("Content-Type", "").startswith(("application/problem+json", "application/json")):
        try:
            document = response.json()
        except ValueError:
            document = None
    status = response.status_code
    if not isinstance(document, dict):
        document = {"detail": f"{response.url.host} answered {response.reason_phrase}, and gave no reason"}
    slug = str(document.get("type", "")).rpartition("/")[2]
    kind = BY_TYPE.get(slug) or BY_STATUS.get(status, Problem)
    return kind(status, document, _seconds(response.headers.get("Retry-After")))


def _seconds(text: str | None) -> float | None:
    """Read Retry-After, a number of seconds or a date, as seconds from now."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return None
