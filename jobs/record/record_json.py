"""Writes an immutable record as JSON, and reads its values: with times, and fields of a later version.

A record is a dataclass with a field `later`, which keeps the fields that this version of the program does
not know: both versions may run side by side.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any


def record_to_json(record: Any, plain: Callable[[Any], Any]) -> bytes:
    """Write a record as UTF-8 JSON. `plain` makes JSON of each value that is none."""
    # Not by asdict, which copies every value: a record is written some ten times in a job's life.
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return json.dumps(values.pop("later") | values, default=plain, separators=(",", ":")).encode()


def values_from_json(kind: type[Any], text: bytes, moments: Iterable[str]) -> dict[str, Any]:
    """Read the values of a record of this `kind`, those named in `moments` as times, the rest as JSON."""
    raw = json.loads(text)
    known = {f.name for f in fields(kind)}
    values = {name: value for name, value in raw.items() if name in known}
    values["later"] = {name: value for name, value in raw.items() if name not in known}
    for name in moments:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    return values
