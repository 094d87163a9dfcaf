"""Writes a job's record as JSON and reads it: the form in which the ledger and the view store it."""

import json
from dataclasses import asdict, fields
from datetime import datetime

from jobs.record.job import ImageFacts, Job, moment_text
from jobs.record.states import Delivery, Priority, State

_MOMENTS = ("created_at", "queued_at", "expires_at", "started_at", "finished_at", "next_delivery_at")


def job_to_json(job: Job) -> bytes:
    """Write a job as UTF-8 JSON, times as ISO 8601 in UTC."""
    # Not by asdict, which copies every value: a record is written some ten times in a job's life.
    values = {f.name: getattr(job, f.name) for f in fields(job)}
    return json.dumps(values.pop("later") | values, default=_plain, separators=(",", ":")).encode()


def job_from_json(text: bytes) -> Job:
    """Read a job that `job_to_json` wrote, in this version of the program or in another one."""
    raw = json.loads(text)
    known = {f.name for f in fields(Job)}
    values = {name: value for name, value in raw.items() if name in known}
    values["later"] = {name: value for name, value in raw.items() if name not in known}
    for name in _MOMENTS:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    values["image"] = ImageFacts(**values["image"])
    values["state"] = State(values["state"])
    values["delivery"] = Delivery(values["delivery"])
    values["priority"] = Priority(values["priority"])
    values["members"] = tuple(values.get("members", ()))
    return Job(**values)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, ImageFacts):
        return asdict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
