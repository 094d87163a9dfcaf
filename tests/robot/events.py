"""Events of targets as the service sends them: made by its code, signed with its secret."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from jobs.callbacks.signing import signed, webhook_secret
from jobs.record.ids import new_id
from jobs.targets.document import targets_document
from jobs.targets.documents import CLOUDEVENTS
from jobs.targets.freshness import Freshness, moment_text_ns
from jobs.targets.review import Review
from jobs.targets.states import TargetState
from tests.conftest import SIGNING_KEY
from tests.jobs.targets.phantom import job_of

CLIENT = "theatre"
SECRET = webhook_secret(SIGNING_KEY, CLIENT)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_NANO = 10**9
_JOB = job_of([100, 120, 20, 16], 0.0, ("R", "F"))


def an_event(
    state: str = "reviewed",
    job: str | None = None,
    sequence: int = 2,
    valid_s: float | None = 300,
    age_s: float = 1,
    ahead_s: float = 0,
    **changes: Any,
) -> dict[str, Any]:
    """A CloudEvent, actionable where it is reviewed. It is valid for `valid_s` from now; None: not told.

    It was made `ahead_s` in the future, of a picture that was taken `age_s` ago.
    """
    now = time.time_ns()
    until = None if valid_s is None else now + round(valid_s * _NANO)
    fresh = Freshness(now + round(ahead_s * _NANO), now - round(age_s * _NANO), until, None)
    document: dict[str, Any] = {**targets_document(_JOB, Review(), fresh)}
    document |= {"job": job or new_id("job"), "sequence": sequence}
    for part in (document, *document["targets"]):
        reasons = [] if state == "reviewed" else ["not_reviewed"]
        part |= {
            "state": TargetState(state),
            "actionable": state == "reviewed",
            "blocking_reasons": reasons,
        }
    return {
        "specversion": "1.0",
        "id": f"msg_{new_id('event')}",
        "source": "https://osteo.example",
        "subject": document["job"],
        "type": "org.osteo.targets.v1",
        "time": document["produced_at"],
        "datacontenttype": "application/vnd.osteo.targets+json; version=1",
        "dataschema": "https://osteo.example/schemas/targets-1.json",
        "data": document,
    } | changes


def signed_event(
    event: dict[str, Any], secret: str = SECRET, sent_ago_s: float = 0
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of its callback."""
    at = datetime.fromtimestamp(time.time() - sent_ago_s, UTC)
    body, headers = signed(event["id"], event, [secret], at, CLOUDEVENTS)
    return body, headers | {"traceparent": TRACEPARENT}


def made_later(event: dict[str, Any]) -> dict[str, Any]:
    """The same event as a repeated call has it: its data are made anew."""
    data = json.loads(json.dumps(event["data"])) | {"produced_at": moment_text_ns(time.time_ns())}
    return event | {"data": data, "time": data["produced_at"]}
