"""Keeps the indexes of the readings: where each lies, which wait for whom, and what a reader has signed.

    readings/jobs/<reading id>                       the id of its job
    readings/queue/<group>/<due>.<client>.<job>.<reading id>  empty; there while a reader may work on it
    readings/signed/<reader id>/<time>-<reading id>  empty; what the reader has signed, the last one first

All of it follows from the records: the sweeper writes it again after each change.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from jobs.reading.reading import Reading
from jobs.record.errors import NotStored
from jobs.record.ids import is_id
from jobs.store.objects import Objects

_LAST_MOMENT = 10**13
"""In milliseconds. A moment counts down to it in the names of an index whose last entry comes first."""
MOST_SHOWN = 500
"""Most open readings of a group that a worklist shows at once."""
_MOST_LISTED = 10_000
"""Most entries of a queue that are listed: ten requests to the object store."""
_POINTERS, _QUEUES = "readings/jobs/", "readings/queue/"


@dataclass(frozen=True, order=True)
class Queued:
    """An entry of a group's queue. They sort by priority, and by the time at which they are due."""

    due: str
    client: str
    job_id: str
    reading_id: str


class ReadingIndex:
    """The indexes. Every method may raise StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, reading: Reading) -> None:
        """Write the entries that a reading has in its present state, and remove the others."""
        self._objects.put(_pointer(reading.id), reading.job.encode())
        if reading.reports:
            self._objects.put(_signed(reading), b"")
        for group in reading.groups:
            if reading.state.open:
                self._objects.put(_queued(group, reading), b"")
            else:
                self._objects.delete(_queued(group, reading))

    def remove(self, reading: Reading) -> None:
        """Remove all entries of a reading."""
        for group in reading.groups:
            self._objects.delete(_queued(group, reading))
        if reading.reports:
            self._objects.delete(_signed(reading))
        self._objects.delete(_pointer(reading.id))

    def forget(self, reading_id: str) -> None:
        """Remove the entries of a reading that has no record."""
        self._objects.delete(_pointer(reading_id))
        for key in list(self._objects.keys(_QUEUES)):
            if key.endswith(f".{reading_id}"):
                self._objects.delete(key)

    def job_of(self, reading_id: str) -> str:
        """Return the id of the job that is read. Raises NotStored."""
        if not is_id("reading", reading_id):
            raise NotStored(reading_id)
        return self._objects.get(_pointer(reading_id)).decode()

    def job_ids(self) -> list[str]:
        """Return the ids of the jobs that have readings, those whose first reading is oldest first."""
        found: dict[str, None] = {}
        for key in self._objects.keys(_POINTERS):
            with suppress(NotStored):  # It was erased meanwhile.
                found[self._objects.get(key).decode()] = None
        return list(found)

    def queue(self, group: str) -> list[Queued]:
        """Return what waits for readers of this group: urgent readings first, then those due first.

        Of more than MOST_SHOWN each client has the same number, so that none hides those of others.
        """
        prefix = f"{_QUEUES}{group}/"
        listed = islice(self._objects.keys(prefix), _MOST_LISTED)
        entries = [_entry(key.removeprefix(prefix)) for key in listed]
        of_client: dict[str, int] = {}
        ranked = []
        for entry in entries:
            of_client[entry.client] = rank = of_client.get(entry.client, 0) + 1
            ranked.append((rank, entry))
        return sorted(entry for _, entry in sorted(ranked)[:MOST_SHOWN])

    def queued(self) -> Iterator[str]:
        """Return the ids of all readings that readers may work on; one id may come several times."""
        return (key.rpartition(".")[2] for key in self._objects.keys(_QUEUES))

    def signed_by(self, reader_id: str, most: int) -> list[str]:
        """Return the ids of what a reader has signed, at most so many, those signed last first."""
        keys = islice(self._objects.keys(_signed_folder(reader_id)), most)
        return [key.rpartition("-")[2] for key in keys]


def _entry(name: str) -> Queued:
    return Queued(*name.split("."))


def _pointer(reading_id: str) -> str:
    return f"{_POINTERS}{reading_id}"


def _queued(group: str, reading: Reading) -> str:
    due = f"{reading.priority.order}-{reading.due_at:%Y%m%dT%H%M%S}"
    return f"{_QUEUES}{group}/{due}.{reading.client}.{reading.job}.{reading.id}"


def _signed_folder(reader_id: str) -> str:
    return f"readings/signed/{reader_id}/"


def _signed(reading: Reading) -> str:
    first = reading.reports[0]
    signed_at = datetime.fromisoformat(first["at"]).timestamp()
    return f"{_signed_folder(first['reader'])}{_LAST_MOMENT - round(signed_at * 1000):013d}-{reading.id}"
