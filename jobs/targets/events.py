"""Tells a client's receiver of targets: a job has ended, a report is signed or amended, a job is deleted.

An event is a CloudEvent, a record of the ledger with a callback. Its data are made when it is delivered: a
receiver that was away for hours gets the present state, never an old one. jobs.reading.events stores those of
reports.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict

from jobs.reading.events import EVENT_KEPT, event_record, store_event
from jobs.reading.readings import Readings
from jobs.record.documents import MOMENT
from jobs.record.errors import NotStored
from jobs.record.events import TARGETS_EVENT
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.store.ledger import Ledger
from jobs.store.registrations import BY_FILM, Registrations
from jobs.store.webhook_settings import wants
from jobs.targets.document import frames_of, regions_of, target_id, targets_document
from jobs.targets.documents import MEDIA_TYPE, NO_PLACE, Target, TargetsDocument
from jobs.targets.freshness import freshness_of, moment_text_ns
from jobs.targets.review import review_of
from jobs.targets.states import BlockingReason, TargetState

SCHEMA_PATH = "/schemas/targets-1.json"


class TargetsEvent(TypedDict):
    """The callback of targets: a CloudEvent 1.0 in structured mode."""

    specversion: Literal["1.0"]
    id: Annotated[str, "The `webhook-id`: the same on every attempt."]
    source: Annotated[str, "The URL of the service."]
    subject: Annotated[str, "The id of the job."]
    type: Annotated[str, {"enum": [TARGETS_EVENT]}]
    time: Annotated[str, MOMENT, "When the data were made, in nanoseconds."]
    datacontenttype: Annotated[str, "`application/vnd.osteo.targets+json; version=1`"]
    dataschema: Annotated[str, "The URL of the JSON Schema of `data`."]
    data: TargetsDocument


def present_targets(
    job: Job, ledger: Ledger, now_ns: int, target_seconds: int, max_age_s: float | None = None
) -> TargetsDocument:
    """Return the targets of a job that has succeeded, as they are now. Raises StoreUnavailable, NotStored."""
    study = ledger.current(job.study) if job.study else None
    others = [other for other in ledger.current_many(study.members) if other.id != job.id] if study else []
    review = review_of(Readings(ledger).of_job(job.id))
    registered = Registrations(ledger.records, BY_FILM).of(job.id)
    fresh = freshness_of(job, now_ns, target_seconds, max_age_s)
    return targets_document(job, review, fresh, others, registered)


def announce(job: Job, ledger: Ledger) -> None:
    """Store the first event of each job that has just ended: of this one, or of a study's. Once.

    Raises StoreUnavailable.
    """
    if not job.callback_url or job.announces:
        return
    for member in ledger.current_many(job.members) if job.members else (job,):
        ended = member.finished_at
        # A callback that is sent again, weeks later, is no news of targets.
        if member.state is State.SUCCEEDED and ended and now() - ended < EVENT_KEPT:
            name, data = f"{member.id} targets", {"job": member.id}
            to = (member.client, job.callback_url)
            store_event(event_record(name, *to, ended, TARGETS_EVENT, data), ledger)


def announce_registration(job: Job, registered: Mapping[str, Any], ledger: Ledger) -> None:
    """Store the event of a sheet that was registered in an analysed radiograph, once for each revision.

    The result may come later: its own event then has the registration. Raises StoreUnavailable.
    """
    at = datetime.fromisoformat(registered["at"])
    address = (ledger.current(job.study) if job.study else job).callback_url
    # Of its own moment: where the same is registered again, receivers know the event by its id.
    if not address or job.state is not State.SUCCEEDED or now() - at >= EVENT_KEPT:
        return
    if wants(TARGETS_EVENT, job.client, ledger.records):
        name, data = f"{job.id} targets registered {registered['revision']}", {"job": job.id}
        store_event(event_record(name, job.client, address, at, TARGETS_EVENT, data), ledger)


def announce_deletion(job: Job, ledger: Ledger) -> None:
    """Store the event that withdraws the targets of a job that is about to be deleted, if a report is signed.

    Its client gets it if it has chosen the event. It is stored before the tombstone, which has no targets.
    Raises StoreUnavailable.
    """
    if not regions_of(job) or not wants(TARGETS_EVENT, job.client, ledger.records):
        return
    review = review_of(Readings(ledger).of_job(job.id))
    if review.reading is None or review.reading.callback_url is None:
        return
    registered = Registrations(ledger.records, BY_FILM).of(job.id)
    data = {
        "job": job.id,
        "sequence": 2 + review.told + (registered["revision"] if registered else 0),
        "withdrawn": [target_id(job.id, number) for number in range(len(regions_of(job)))],
    }
    to = (job.client, review.reading.callback_url)
    store_event(event_record(f"{job.id} targets deleted", *to, now(), TARGETS_EVENT, data), ledger)


def targets_event(
    announced: dict[str, Any], ledger: Ledger, message_id: str, public_url: str, target_seconds: int
) -> TargetsEvent:
    """Return the CloudEvent of what `announce` and the others stored, with the targets as they are now.

    Raises NotStored where the job was deleted: its deletion has an event of its own, if it needs one.
    """
    if "withdrawn" in announced:
        data = _withdrawn(announced)
    else:
        job = ledger.current(announced["job"])
        if job.state is not State.SUCCEEDED:
            raise NotStored(job.id)
        data = present_targets(job, ledger, time.time_ns(), target_seconds)
    return {
        "specversion": "1.0",
        "id": message_id,
        "source": public_url or "/",
        "subject": data["job"],
        "type": TARGETS_EVENT,
        "time": data["produced_at"],
        "datacontenttype": f"{MEDIA_TYPE}; version=1",
        "dataschema": f"{public_url}{SCHEMA_PATH}",
        "data": data,
    }


def _withdrawn(announced: dict[str, Any]) -> TargetsDocument:
    """Return the targets of a deleted job: their ids, and nothing else of it."""
    job_id = announced["job"]
    targets: list[Target] = [
        {
            "id": id_,
            "class": {"code": "125605004", "meaning": "Fracture of bone", "bone": None},
            "score": None,
            "state": TargetState.WITHDRAWN,
            "actionable": False,
            "blocking_reasons": [BlockingReason.REPORT_DELETED],
            "box_px": None,
            **NO_PLACE,
        }
        for id_ in announced["withdrawn"]
    ]
    return {
        "job": job_id,
        "sequence": announced["sequence"],
        "state": TargetState.WITHDRAWN,
        "actionable": False,
        "blocking_reasons": [BlockingReason.REPORT_DELETED],
        "acquired_at": None,
        "produced_at": moment_text_ns(time.time_ns()),
        "valid_until": None,
        "frames": frames_of(job_id),
        "registration": None,
        "camera": None,
        "targets": targets,
        "provenance": {"image_sha256": None, "model_sha256": None, "reading": None, "jws": None},
    }
