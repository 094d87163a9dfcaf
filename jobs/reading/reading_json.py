"""Writes the record of a reading as JSON, and reads it."""

from datetime import datetime

from jobs.reading.reading import Reading
from jobs.reading.states import Mode, ReadingState, Wish
from jobs.record.job import moment_text
from jobs.record.record_json import record_to_json, values_from_json
from jobs.record.states import Priority

_MOMENTS = ("requested_at", "due_at", "claimed_at", "touched_at")
_TUPLES = ("groups", "reports", "history", "excluded")


def reading_to_json(reading: Reading) -> bytes:
    """Write a reading as UTF-8 JSON, times as ISO 8601 in UTC."""
    return record_to_json(reading, _plain)


def reading_from_json(text: bytes) -> Reading:
    """Read a reading that `reading_to_json` wrote."""
    values = values_from_json(Reading, text, _MOMENTS)
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
