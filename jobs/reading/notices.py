"""Names when readers are told of a reading that waits, and keeps an index by time of what is to be told.

readings/notices/<day>/<time>-<reading id>.<stage>  delivery looks then whom to tell
readings/noticed/<reading id>/<stage>.<receiver>    empty; this receiver was told
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

from jobs.reading.reading import Reading
from jobs.reading.reading_index import ReadingIndex
from jobs.reading.states import ReadingState
from jobs.record.errors import NotStored
from jobs.store.due_index import DueEntry, DueIndex
from jobs.store.objects import Objects

_MADE_UP = timedelta(minutes=2)
"""Time after which the notice of a request is made up for, whose process died: the sweeper has listed it."""


class Stage(StrEnum):
    """When the readers of its groups are told of a reading, once each."""

    REQUESTED = "requested"
    """At its request, while no reader has claimed it."""
    HALF = "half"
    """After half of the time until it is due, while no reader has claimed it."""
    DUE = "due"
    """When it is due, while it is not signed."""

    def begins(self, reading: Reading) -> datetime:
        """Return from when on the stage lasts for this reading."""
        if self is Stage.REQUESTED:
            return reading.requested_at
        if self is Stage.DUE:
            return reading.due_at
        return reading.requested_at + (reading.due_at - reading.requested_at) / 2

    def calls_for_readers(self, reading: Reading, at: datetime) -> bool:
        """Whether readers are to be told at this time. A later stage replaces the one before."""
        if self is Stage.DUE:
            return reading.state.open
        later = Stage.HALF if self is Stage.REQUESTED else Stage.DUE
        return reading.state is ReadingState.REQUESTED and at < later.begins(reading)


class NoticeIndex:
    """What readers are to be told, and were told. Every method may raise StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._index = DueIndex(objects, "readings/notices/")

    def plan(self, reading: Reading) -> None:
        """Have readers told of a reading whose record is about to be written, however that ends."""
        for stage, at in _plan(reading):
            self.put(reading.id, stage, at)

    def put(self, reading_id: str, stage: Stage, at: datetime) -> None:
        """Have readers told of a stage of a reading at this time or soon after."""
        self._index.put(f"{reading_id}.{stage}", at)

    def passed(self, at: datetime) -> Iterator[DueEntry]:
        """Return the entries that are due, oldest first."""
        return self._index.passed(at)

    def remove(self, entry: DueEntry) -> None:
        """Remove an entry."""
        self._index.remove(entry)

    def note(self, reading_id: str, stage: Stage, receiver: str) -> None:
        """Write down that a receiver was told, unless the reading was erased."""
        told = _told(reading_id, stage, receiver)
        self._objects.put(told, b"")
        try:
            ReadingIndex(self._objects).job_of(reading_id)
        except NotStored:  # An erasure removes this entry first, and then what `forget` finds.
            self._objects.delete(told)

    def was_told(self, reading_id: str, stage: Stage, receiver: str) -> bool:
        """Return whether a receiver was told."""
        return self._objects.exists(_told(reading_id, stage, receiver))

    def told(self, reading_id: str, stage: Stage) -> set[str]:
        """Return the receivers that were told."""
        prefix = _told(reading_id, stage, "")
        return {key.removeprefix(prefix) for key in self._objects.keys(prefix)}

    def forget(self, reading: Reading) -> None:
        """Erase who was told of a reading, and what was planned at its request.

        What was postponed goes at its time.
        """
        for stage, at in _plan(reading):
            self._index.remove_one(f"{reading.id}.{stage}", at)
        for key in list(self._objects.keys(f"readings/noticed/{reading.id}/")):
            self._objects.delete(key)


def _plan(reading: Reading) -> Iterator[tuple[Stage, datetime]]:
    yield Stage.REQUESTED, reading.requested_at + _MADE_UP
    for stage in Stage:
        yield stage, stage.begins(reading)


def notice_due(name: str) -> tuple[str, Stage]:
    """Return the reading and the stage that an entry of the index names."""
    reading_id, _, stage = name.partition(".")
    return reading_id, Stage(stage)


def _told(reading_id: str, stage: Stage, receiver: str) -> str:
    return f"readings/noticed/{reading_id}/{stage}.{receiver}"
