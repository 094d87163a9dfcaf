"""Keeps an index by time of the jobs, uploads and probes that the purger has to check."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.store.objects import Objects


@dataclass(frozen=True)
class DueEntry:
    """One check of one job, upload or probe. `key` is its key in the index."""

    key: str
    name: str


class DueIndex:
    """The index, at `due/<day>/<time>-<job id>`, or `-<upload or probe id>.<client>`.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, name: str, at: datetime) -> None:
        """Have this job, upload or probe checked at this time or soon after."""
        self._objects.put(f"{_key(at)}-{name}", b"")

    def passed(self, at: datetime) -> Iterator[DueEntry]:
        """Return the checks that are due, oldest first. At most one page more than these is listed."""
        for key in self._objects.keys("due/"):
            if key >= _key(at):
                return
            yield DueEntry(key, key[len(_key(at)) + 1 :])

    def remove(self, entry: DueEntry) -> None:
        """Remove a check that was made."""
        self._objects.delete(entry.key)


def _key(at: datetime) -> str:
    return f"due/{at.astimezone(UTC):%Y-%m-%d/%H%M%S}"
