"""Describes the headers and the path parameters of the API by their schemas."""

from collections.abc import Mapping
from typing import Annotated, Any

from api.http.problem_kinds import JOB_ERRORS, KINDS

HEADERS: Mapping[str, Any] = {
    "Accept-Encoding": Annotated[str, "`zstd` or `gzip` gets the body compressed."],
    "Accept-Ranges": Annotated[str, "`bytes`: the route answers to `Range`."],
    "Content-Encoding": Annotated[str, "`zstd`, `gzip`, or absent."],
    "Content-Range": Annotated[str, "Which bytes of the whole body these are."],
    "ETag": Annotated[str, "Changes whenever the answer changes."],
    "If-Match": Annotated[str, "The `ETag` of the version to change."],
    "If-None-Match": Annotated[str, "The `ETag` of an earlier answer."],
    "If-Range": Annotated[str, "The `ETag` that `Range` is for; of another one the whole body is sent."],
    "Idempotency-Expires": Annotated[str, "The time until which the key identifies this job."],
    "Idempotency-Key": Annotated[
        str,
        {"maxLength": 255},
        "A repetition with the same key and submission gets the job of the first.",
    ],
    "Idempotency-Replayed": Annotated[str, "`true` for a submission that was accepted before."],
    "Last-Event-ID": Annotated[str, "The id of the last event that the client has seen."],
    "Link": Annotated[str, 'The jobs, rel="item"; or the JSON Schema of the answer, rel="describedby".'],
    "Location": Annotated[str, "The URL of what was made."],
    "Osteo-Pixels": Annotated[str, "JSON: what the body's numbers are."],
    "Prefer": Annotated[str, "`wait=N` lets the request wait for N seconds, at most 30."],
    "Preference-Applied": Annotated[
        str, "`wait=N` for a request that has waited; absent while too many requests wait."
    ],
    "Range": Annotated[str, "Which bytes of the uncompressed body are wanted: `bytes=0-8191`."],
    "RateLimit": Annotated[str, "Submissions or callbacks left (r), and seconds until there are more (t)."],
    "RateLimit-Policy": Annotated[
        str, "Submissions or callbacks (q) that this client may request within a number of seconds (w)."
    ],
    "Retry-After": Annotated[int, "Seconds to wait before asking again."],
    "Vary": Annotated[str, "The header of the request that selected the answer."],
    "traceparent": Annotated[
        str, "W3C Trace Context. Logs and the callback have the same trace; a request without it starts one."
    ],
}
PATH: Mapping[str, Any] = {
    "job_id": Annotated[
        str,
        {"pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$"},
        "The id of the job, or the id that you chose for it by PUT (which does not begin with `job_`).",
    ],
    "key_id": Annotated[str, {"pattern": "^[0-9a-f]{16}$"}],
    "problem": Annotated[str, {"enum": sorted(map(str, KINDS | JOB_ERRORS))}],
    "reading_id": Annotated[str, {"pattern": "^reading_[0-9A-HJKMNP-TV-Z]{26}$"}],
    "study": Annotated[str, "The UID of the study. Instances of another study are refused."],
    "study_id": Annotated[str, {"pattern": "^study_[0-9A-HJKMNP-TV-Z]{26}$"}],
    "probe_id": Annotated[str, {"pattern": "^probe_[0-9A-HJKMNP-TV-Z]{26}$"}],
}
"""The schema of each parameter of a path; one that is not here is a string."""
