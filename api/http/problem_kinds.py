"""Lists every type of problem in one table: its status, what it means, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Slug(StrEnum):
    """The last part of the `type` of a problem. Names never change; new ones may be added."""

    BAD_REQUEST = "bad-request"
    MALFORMED = "malformed"
    UNAUTHORIZED = "unauthorized"
    LINK_ENDED = "link-ended"
    INSUFFICIENT_SCOPE = "insufficient-scope"
    FORM_EXPIRED = "form-expired"
    NO_SUCH_JOB = "no-such-job"
    NO_SUCH_STUDY = "no-such-study"
    NO_SUCH_KEY = "no-such-key"
    NO_SUCH_PROBE = "no-such-probe"
    NO_SUCH_UPLOAD = "no-such-upload"
    UPLOAD_DIFFERS = "upload-differs"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_ACCEPTABLE = "not-acceptable"
    JOB_FAILED = "job-failed"
    NO_SUCH_READING = "no-such-reading"
    READING_CLAIMED = "reading-claimed"
    READING_MOVED = "reading-moved"
    DRAFT_CHANGED = "draft-changed"
    REPORT_INVALID = "report-invalid"
    CODE_REFUSED = "code-refused"
    ANSWER_HIDDEN = "answer-hidden"
    NOT_READ = "not-read"
    NOT_READY = "not-ready"
    SCALE_UNKNOWN = "scale-unknown"
    NO_SUCH_REGISTRATION = "no-such-registration"
    MARKER_NOT_FOUND = "marker-not-found"
    REGISTRATION_REFUSED = "registration-refused"
    JOB_ENDED = "job-ended"
    IN_INTAKE = "in-intake"
    NOTHING_TO_DELIVER = "nothing-to-deliver"
    GONE = "gone"
    IMAGE_TOO_LARGE = "image-too-large"
    REQUEST_ENTITY_TOO_LARGE = "request-entity-too-large"
    TOO_MANY_PIXELS = "too-many-pixels"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    UNSUPPORTED_IMAGE = "unsupported-image"
    BROKEN_IMAGE = "broken-image"
    KEY_REUSED = "key-reused"
    CALLBACK_REFUSED = "callback-refused"
    QUOTA_EXCEEDED = "quota-exceeded"
    TRAINING_FORBIDDEN = "training-forbidden"
    TOO_MANY_READINGS = "too-many-readings"
    TOO_MANY_WAITING = "too-many-waiting"
    TOO_MANY_ATTEMPTS = "too-many-attempts"
    INTERNAL_ERROR = "internal-error"
    OBJECT_MISSING = "object-missing"
    PART_DOWN = "part-down"
    TOO_BUSY = "too-busy"
    QUEUE_FULL = "queue-full"


@dataclass(frozen=True)
class Kind:
    """One type of problem: its `status`, what it means, and what to do.

    A problem that `passes` has the header Retry-After. `also` is a second status, which some routes give it.
    """

    status: int
    meaning: str
    remedy: str
    passes: bool = False
    also: int | None = None


KINDS: dict[str, Kind] = {
    Slug.BAD_REQUEST: Kind(
        400, "The request is no HTTP that is understood here.", "Send it as /docs describes."
    ),
    Slug.MALFORMED: Kind(400, "A field, parameter or body is malformed.", "Correct what `detail` names."),
    Slug.UNAUTHORIZED: Kind(
        401, "There is no valid API key.", "Send `Authorization: Bearer <api key>`; the operator makes keys."
    ),
    Slug.LINK_ENDED: Kind(
        401, "The link to a scene is not valid, or has ended.", "Ask the person who sent it for a new one."
    ),
    Slug.INSUFFICIENT_SCOPE: Kind(
        403, "The key is valid, but may not do this.", "Use one with the scope that `scope` names."
    ),
    Slug.FORM_EXPIRED: Kind(
        403,
        "The form was not sent by a page of this session: it is old, or comes from another site.",
        "Open the page again, and send its form.",
    ),
    Slug.NO_SUCH_JOB: Kind(
        404, "This client has no such job.", "Check the id, and that the key is this client's."
    ),
    Slug.NO_SUCH_STUDY: Kind(
        404, "This client has no such study.", "Check the id, and that the key is this client's."
    ),
    Slug.NO_SUCH_KEY: Kind(
        404, "This client has no such API key, or it has ended.", "Take an id that `GET /v1/keys` shows."
    ),
    Slug.NO_SUCH_PROBE: Kind(404, "This client has no such test event.", "Send a new one."),
    Slug.NO_SUCH_UPLOAD: Kind(
        404,
        "This client has no such upload: it was submitted before, never arrived, or has expired.",
        "Upload the image again, and submit it once it has arrived.",
    ),
    Slug.UPLOAD_DIFFERS: Kind(
        422,
        "What was uploaded has another size or type than was ordered.",
        "Order an upload of the size and type that the image has.",
    ),
    Slug.NOT_FOUND: Kind(404, "There is no such address.", "Check it against /docs."),
    Slug.METHOD_NOT_ALLOWED: Kind(
        405, "This address does not take this method.", "Use one that the header `Allow` names."
    ),
    Slug.NOT_ACCEPTABLE: Kind(
        406, "The result is not there in this format.", "Ask for one that `detail` names, by Accept."
    ),
    Slug.JOB_FAILED: Kind(
        409,
        "The job has ended without a result.",
        "See `error`; correct the image and submit it as a new job.",
    ),
    Slug.NO_SUCH_READING: Kind(
        404, "This client or reader has no such reading.", "Check the id, and whose key it is."
    ),
    Slug.READING_CLAIMED: Kind(
        409, "Another reader works on this reading.", "Take another; see `reader_name` and `claimed_at`."
    ),
    Slug.READING_MOVED: Kind(
        409, "The reading is in a state in which this cannot be done.", "Read it again; see `detail`."
    ),
    Slug.DRAFT_CHANGED: Kind(
        412, "The reading has changed since it was read.", "Read it again, and send its new `ETag`."
    ),
    Slug.REPORT_INVALID: Kind(422, "This is no report of this radiograph.", "Correct what `detail` names."),
    Slug.CODE_REFUSED: Kind(
        403, "The one-time code is wrong, or was used before.", "Send the next one; see `detail`."
    ),
    Slug.ANSWER_HIDDEN: Kind(
        403,
        "The model's answer is hidden until the reader commits a finding.",
        "Commit a finding; the answer is shown then.",
    ),
    Slug.NOT_READ: Kind(422, "No reader reads for this client.", "Ask the operator, or leave `read` out."),
    Slug.NOT_READY: Kind(
        409,
        "The job has not ended yet; with status 503, from /health/ready, no submissions are taken.",
        "Ask again after `Retry-After` seconds.",
        passes=True,
        also=503,
    ),
    Slug.SCALE_UNKNOWN: Kind(
        409,
        "The image does not say how large it is: it names no distance between its pixels.",
        "Send DICOM with a spacing, or name one by `assume_mm`.",
    ),
    Slug.NO_SUCH_REGISTRATION: Kind(
        404,
        "No marker was registered for this job.",
        "Send its corners, or a photograph of its sheet.",
    ),
    Slug.MARKER_NOT_FOUND: Kind(
        422,
        "The photograph does not show the marker, or shows it twice.",
        "Photograph the whole sheet, sharp and without reflections.",
    ),
    Slug.REGISTRATION_REFUSED: Kind(
        422,
        "The corners give no pose that may be trusted, or the print has another size than stated.",
        "See `detail`: it names what does not fit.",
    ),
    Slug.JOB_ENDED: Kind(409, "The job has ended already.", "There is nothing left to cancel."),
    Slug.IN_INTAKE: Kind(
        409,
        "The same submission is being taken in at this moment.",
        "Send it again after `Retry-After` seconds, to get its job.",
        passes=True,
    ),
    Slug.NOTHING_TO_DELIVER: Kind(
        409,
        "The job has no callback to deliver.",
        "Wait until it has ended; a job without a `callback_url` has none.",
    ),
    Slug.GONE: Kind(410, "This job or study was deleted, with all that belonged to it.", "Forget its id."),
    Slug.IMAGE_TOO_LARGE: Kind(
        413, "The image has too many bytes.", "Send it compressed, or smaller: `max_bytes`."
    ),
    Slug.REQUEST_ENTITY_TOO_LARGE: Kind(413, "The body is too large.", "Send less."),
    Slug.TOO_MANY_PIXELS: Kind(413, "The image has too many pixels.", "Scale it down: `max_pixels`."),
    Slug.UNSUPPORTED_MEDIA_TYPE: Kind(
        415, "This address takes another type of body.", "Send the one that `detail` names."
    ),
    Slug.UNSUPPORTED_IMAGE: Kind(
        415, "This is no image that is read here.", "Send PNG, JPEG, TIFF, BMP, WebP or DICOM."
    ),
    Slug.BROKEN_IMAGE: Kind(
        422, "The image does not decode to one usable picture.", "Check the file; see `detail`."
    ),
    Slug.KEY_REUSED: Kind(
        422,
        "This idempotency key, or id of your own, was used for another submission.",
        "Take a new one for a new radiograph.",
    ),
    Slug.CALLBACK_REFUSED: Kind(
        422, "This URL may not be called.", "Use https, on port 443 or 8443, at a public address."
    ),
    Slug.QUOTA_EXCEEDED: Kind(
        429,
        "This client submits, or asks for callbacks, more often than its quota allows; nothing was done.",
        "Send it again after `Retry-After` seconds; `RateLimit` says how much is left.",
        passes=True,
    ),
    Slug.TOO_MANY_WAITING: Kind(
        429,
        "As many jobs of this client wait as may; nothing was accepted. With status 503, from /events:"
        " as many requests wait as may.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
        also=503,
    ),
    Slug.TRAINING_FORBIDDEN: Kind(
        422,
        "Models may not learn from this client's radiographs.",
        "Leave `training_use` out, or ask the operator.",
    ),
    Slug.TOO_MANY_READINGS: Kind(
        429,
        "This client has as many open readings as it may have; nothing was accepted.",
        "Send it again after `Retry-After` seconds, cancel readings, or send it with `read=none`.",
        passes=True,
    ),
    Slug.TOO_MANY_ATTEMPTS: Kind(
        429,
        "There were too many attempts to sign in, or too many wrong one-time codes.",
        "Try again after `Retry-After` seconds.",
        passes=True,
    ),
    Slug.INTERNAL_ERROR: Kind(
        500, "The service made a mistake.", "Try once more; if it stays, tell the operator the time."
    ),
    Slug.OBJECT_MISSING: Kind(500, "A file of this job is missing.", "Tell the operator, with the job's id."),
    Slug.PART_DOWN: Kind(
        503,
        "A store is down; nothing was accepted.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
    ),
    Slug.TOO_BUSY: Kind(
        503,
        "The service does as much as it can at this moment; nothing was accepted.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
    ),
    Slug.QUEUE_FULL: Kind(
        503,
        "The queue is full or too slow; nothing was accepted.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
    ),
}
"""Every type of problem by its Slug."""

JOB_ERRORS: dict[str, Kind] = {
    "not-a-radiograph": Kind(
        409, "The picture decodes, but does not look like an X-ray.", "Submit the radiograph itself."
    ),
    "unreadable-image": Kind(
        409, "The image could not be read when it was analysed.", "Submit it anew; see `detail`."
    ),
    "worker-lost": Kind(
        409, "Every worker that took the job up was lost.", "The operator knows; or submit it anew."
    ),
    "internal-error": KINDS[Slug.INTERNAL_ERROR],
    "canceled": Kind(409, "The job was canceled.", "Submit it anew if you want a result after all."),
    "expired": Kind(409, "No worker took the job up before its deadline.", "Submit it anew."),
}
"""Every type of `error` of a job. A request for the result of such a job gets 409, `job-failed`."""
