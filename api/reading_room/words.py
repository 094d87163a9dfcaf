"""The words of the pages: findings, states, disagreements and grades, and times as a person says them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from jobs.reading.measurement import text_of
from jobs.record.job import Job
from model.prediction import format_probability

FINDINGS = {
    "fracture": "Fracture",
    "no_fracture": "No fracture",
    "not_sure": "Not sure",
    "not_diagnostic": "Not diagnostic",
}
MODEL_FINDINGS = {"fracture": "Fracture", "no_fracture": "No fracture", "indeterminate": "Indeterminate"}
READING_STATES = {
    "requested": "waits",
    "claimed": "is being read",
    "signed": "signed",
    "amended": "amended",
    "returned": "returned",
    "canceled": "canceled by the client",
    "expired": "expired",
}
JOB_STATES = {
    "queued": "waits for the model",
    "running": "is being analysed",
    "succeeded": "analysed",
    "failed": "could not be analysed",
    "expired": "was not analysed in time",
    "canceled": "canceled",
}
DISAGREEMENTS = {
    "none": "The reader and the model agree.",
    "missed": "The reader finds a fracture; the model finds none.",
    "overcalled": "The model finds a fracture; the reader finds none.",
    "location": "Both find a fracture, at different places.",
    "not_comparable": "They cannot be compared: one of the two is not sure, or the model has no answer.",
}
GRADES = {
    "1": "Agree with the model",
    "2a": "Differ: an understandable miss, unlikely to matter",
    "2b": "Differ: an understandable miss, likely to matter. Another reader decides",
    "3a": "Differ: a miss that should not happen, unlikely to matter. Another reader decides",
    "3b": "Differ: a miss that should not happen, likely to matter. Another reader decides",
}
RETURNS = {
    "not_diagnostic": "The radiograph is not diagnostic",
    "wrong_side": "It shows the wrong side",
    "other_view": "Another view is needed",
}
measured = text_of
_UNITS = ((86_400, "day"), (3600, "h"), (60, "min"))
_VIEWS = {"LL": "left lateral", "RL": "right lateral"}
_SIDES = {"L": "left", "R": "right", "B": "both sides"}


def span(time: timedelta) -> str:
    """Say a length of time in its two largest units, such as `3 h 10 min`."""
    seconds = abs(int(time.total_seconds()))
    parts: list[str] = []
    for size, unit in _UNITS:
        number, seconds = divmod(seconds, size)
        if number or (unit == "min" and not parts):
            parts.append(f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''}")
    return " ".join(parts[:2])


def due(due_at: datetime, at: datetime) -> str:
    """Say when something is due."""
    return f"overdue by {span(at - due_at)}" if due_at <= at else span(due_at - at)


def clock(moment: datetime | str) -> str:
    """Write a moment as a date and a time of day in UTC."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def model_says(result: Mapping[str, Any]) -> str:
    """Say the model's finding and probability. A probability at the end of the scale has no false digits."""
    return f"{MODEL_FINDINGS[result['finding']]}, probability {format_probability(result['probability'])}"


def view_of(job: Job) -> str:
    """Name what was taken: side, part of the body and view, as far as the source says so."""
    known = job.acquisition or {}
    side, view = known.get("laterality"), known.get("view")
    parts = [_SIDES.get(side, "") if side else "", _part(known), _VIEWS.get(view, view) if view else ""]
    return " ".join(filter(None, parts)) or "not stated"


def facts_of(job: Job) -> list[tuple[str, str]]:
    """List what the source says of how the radiograph was taken, as terms and texts."""
    known = job.acquisition or {}
    view, side = known.get("view"), known.get("laterality")
    return [
        ("Part", _part(known) or "not stated"),
        ("Side", _SIDES.get(side, "unknown") if side else "unknown"),
        ("View", _VIEWS.get(view, view) if view else "not stated"),
        ("Format", job.image.format),
    ]


def _part(known: Mapping[str, Any]) -> str:
    part = known.get("body_part")
    term = part.get("term") if isinstance(part, dict) else part
    return str(term or "").lower().replace("_", " ")
