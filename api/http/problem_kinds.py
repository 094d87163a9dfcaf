"""Every type of problem in one table: what it means, and what to do. Names stay; new ones may come."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One type of problem: its `status`, what it means, and what to do.

    One that `passes` comes with Retry-After. `also` is a second status that it has elsewhere.
    """

    status: int
    meaning: str
    remedy: str
    passes: bool = False
    also: int | None = None


KINDS = {
    "bad-request": Kind(
        400, "The request is no HTTP that is understood here.", "Send it as /docs describes."
    ),
    "malformed": Kind(400, "A field, parameter or body is malformed.", "Correct what `detail` names."),
    "unauthorized": Kind(
        401, "There is no valid API key.", "Send `Authorization: Bearer <api key>`; the operator makes keys."
    ),
    "insufficient-scope": Kind(
        403, "The key is valid, but may not do this.", "Use one with the scope that `scope` names."
    ),
    "no-such-job": Kind(
        404, "This client has no such job.", "Check the id, and that the key is this client's."
    ),
    "no-such-study": Kind(
        404, "This client has no such study.", "Check the id, and that the key is this client's."
    ),
    "no-such-key": Kind(
        404, "This client has no such API key, or it has ended.", "Take an id that `GET /v1/keys` shows."
    ),
    "no-such-probe": Kind(404, "This client has no such test event.", "Send a new one."),
    "no-such-upload": Kind(
        404,
        "This client has no such upload: it was submitted before, never arrived, or has expired.",
        "Upload the image again, and submit it once it has arrived.",
    ),
    "upload-differs": Kind(
        422,
        "What was uploaded has another size or type than was ordered.",
        "Order an upload of the size and type that the image has.",
    ),
    "not-found": Kind(404, "There is no such address.", "Check it against /docs."),
    "method-not-allowed": Kind(
        405, "This address does not take this method.", "Use one that the header `Allow` names."
    ),
    "not-acceptable": Kind(
        406, "The result is not there in this format.", "Ask for one that `detail` names, by Accept."
    ),
    "job-failed": Kind(
        409,
        "The job has ended without a result.",
        "See `error`; correct the image and submit it as a new job.",
    ),
    "not-ready": Kind(
        409,
        "The job has not ended yet; with status 503, from /health/ready, no submissions are taken.",
        "Ask again after `Retry-After` seconds.",
        passes=True,
        also=503,
    ),
    "job-ended": Kind(409, "The job has ended already.", "There is nothing left to cancel."),
    "in-intake": Kind(
        409,
        "The same submission is being taken in at this moment.",
        "Send it again after `Retry-After` seconds, to get its job.",
        passes=True,
    ),
    "nothing-to-deliver": Kind(
        409,
        "The job has no callback to deliver.",
        "Wait until it has ended; a job without a `callback_url` has none.",
    ),
    "gone": Kind(410, "This job or study was deleted, with all that belonged to it.", "Forget its id."),
    "image-too-large": Kind(
        413, "The image has too many bytes.", "Send it compressed, or smaller: `max_bytes`."
    ),
    "request-entity-too-large": Kind(413, "The body is too large.", "Send less."),
    "too-many-pixels": Kind(413, "The image has too many pixels.", "Scale it down: `max_pixels`."),
    "unsupported-media-type": Kind(
        415, "This address takes another type of body.", "Send the one that `detail` names."
    ),
    "unsupported-image": Kind(
        415, "This is no image that is read here.", "Send PNG, JPEG, TIFF, BMP, WebP or DICOM."
    ),
    "broken-image": Kind(
        422, "The image does not decode to one usable picture.", "Check the file; see `detail`."
    ),
    "key-reused": Kind(
        422,
        "This idempotency key, or id of your own, was used for another submission.",
        "Take a new one for a new radiograph.",
    ),
    "callback-refused": Kind(
        422, "This URL may not be called.", "Use https, on port 443 or 8443, at a public address."
    ),
    "quota-exceeded": Kind(
        429,
        "This client submits, or asks for callbacks, more often than its quota allows; nothing was done.",
        "Send it again after `Retry-After` seconds; `RateLimit` says how much is left.",
        passes=True,
    ),
    "too-many-waiting": Kind(
        429,
        "As many jobs of this client wait as may; nothing was accepted. With status 503, from /events:"
        " as many requests wait as may.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
        also=503,
    ),
    "internal-error": Kind(
        500, "The service made a mistake.", "Try once more; if it stays, tell the operator the time."
    ),
    "object-missing": Kind(500, "A file of this job is missing.", "Tell the operator, with the job's id."),
    "part-down": Kind(
        503,
        "A store is down; nothing was accepted.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
    ),
    "too-busy": Kind(
        503,
        "The service does as much as it can at this moment; nothing was accepted.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
    ),
    "queue-full": Kind(
        503,
        "The queue is full or too slow; nothing was accepted.",
        "Send it again after `Retry-After` seconds.",
        passes=True,
    ),
}
"""Every type of problem under the name that its `type` ends with. Names stay; new ones may come."""

JOB_ERRORS = {
    "not-a-radiograph": Kind(
        409, "The picture decodes, but does not look like an X-ray.", "Submit the radiograph itself."
    ),
    "unreadable-image": Kind(
        409, "The image could not be read when it was analysed.", "Submit it anew; see `detail`."
    ),
    "worker-lost": Kind(
        409, "Every worker that took the job up was lost.", "The operator knows; or submit it anew."
    ),
    "internal-error": KINDS["internal-error"],
    "canceled": Kind(409, "The job was canceled.", "Submit it anew if you want a result after all."),
    "expired": Kind(409, "No worker took the job up before its deadline.", "Submit it anew."),
}
"""Every type of `error` that a job may end with; its result is then answered 409, `job-failed`."""
