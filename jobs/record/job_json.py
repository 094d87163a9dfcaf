"""Writes a job's record as JSON and reads it: the form in which the ledger and the view store it."""

from dataclasses import asdict
from datetime import datetime

from jobs.record.job import ImageFacts, Job, moment_text
from jobs.record.record_json import record_to_json, values_from_json
from jobs.record.states import Delivery, Priority, State

_MOMENTS = ("created_at", "queued_at", "expires_at", "started_at", "finished_at", "next_delivery_at")


def job_to_json(job: Job) -> bytes:
    """Write a job as UTF-8 JSON, times as ISO 8601 in UTC."""
    return record_to_json(job, _plain)


def job_from_json(text: bytes) -> Job:
    """Read a job that `job_to_json` wrote, in this version of the program or in another one."""
    values = values_from_json(Job, text, _MOMENTS)
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
