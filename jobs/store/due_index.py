"""Keeps an index by time: of the jobs, uploads and probes that the purger has to check, for example."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.store.objects import Objects


@dataclass(frozen=True)
class DueEntry:
    """One check of what has this name. `key` is its key in the index."""

    key: str
    name: str


class DueIndex:
    """The index, at `<prefix><day>/<time>-<name>`. Every method may raise StoreUnavailable."""

    def __init__(self, objects: Objects, prefix: str = "due/") -> None:
        self._objects = objects
        self._prefix = prefix

    def put(self, name: str, at: datetime) -> None:
        """Have what has this name checked at this time or soon after."""
        self._objects.put(f"{self._key(at)}-{name}", b"")

    def passed(self, at: datetime) -> Iterator[DueEntry]:
        """Return the checks that are due, oldest first. At most one page more than these is listed."""
        until = self._key(at)
        for key in self._objects.keys(self._prefix):
            if key >= until:
                return
            yield DueEntry(key, key[len(until) + 1 :])

    def remove(self, entry: DueEntry) -> None:
        """Remove a check that was made."""
        self._objects.delete(entry.key)

    def remove_one(self, name: str, at: datetime) -> None:
        """Remove the check of what has this name at this time, if there is one."""
        self._objects.delete(f"{self._key(at)}-{name}")

    def _key(self, at: datetime) -> str:
        return f"{self._prefix}{at.astimezone(UTC):%Y-%m-%d/%H%M%S}"
