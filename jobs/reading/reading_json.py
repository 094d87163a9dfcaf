"""Writes the record of a reading as JSON, and reads it."""

import json
from dataclasses import fields
from datetime import datetime

from jobs.reading.reading import Reading
from jobs.reading.states import Mode, ReadingState, Wish
from jobs.record.job import moment_text
from jobs.record.states import Priority

_MOMENTS = ("requested_at", "due_at", "claimed_at", "touched_at")
_TUPLES = ("groups", "reports", "history", "excluded")


def reading_to_json(reading: Reading) -> bytes:
    """Write a reading as UTF-8 JSON, times as ISO 8601 in UTC."""
    values = {f.name: getattr(reading, f.name) for f in fields(reading)}
    return json.dumps(values.pop("later") | values, default=_plain, separators=(",", ":")).encode()


def reading_from_json(text: bytes) -> Reading:
    """Read a reading that `reading_to_json` wrote."""
    raw = json.loads(text)
    known = {f.name for f in fields(Reading)}
    values = {name: value for name, value in raw.items() if name in known}
    values["later"] = {name: value for name, value in raw.items() if name not in known}
    for name in _MOMENTS:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    for name in _TUPLES:
        values[name] = tuple(values.get(name, ()))
    values["mode"] = Mode(values["mode"])
    values["wish"] = Wish(values.get("wish", Wish.REQUESTED))
    values["state"] = ReadingState(values["state"])
    values["priority"] = Priority(values["priority"])
    return Reading(**values)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return moment_text(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
