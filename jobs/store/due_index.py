"""When a job, an upload or a probe has to be looked at again: an index by time, so a look costs little."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.store.objects import Objects


@dataclass(frozen=True)
class DueEntry:
    """One look at one job, upload or probe; `key` is where it stands in the index."""

    key: str
    name: str


class DueIndex:
    """The index, at `due/<day>/<time>-<job id>`, or `-<upload or probe id>.<client>`.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, name: str, at: datetime) -> None:
        """Let this job, upload or probe be looked at, at this time or soon after."""
        self._objects.put(f"{_place(at)}-{name}", b"")

    def passed(self, at: datetime) -> Iterator[DueEntry]:
        """The looks whose time has come, oldest first. No more is listed than these and the next page."""
        for key in self._objects.keys("due/"):
            if key >= _place(at):
                return
            yield DueEntry(key, key[len(_place(at)) + 1 :])

    def remove(self, entry: DueEntry) -> None:
        """This look was taken."""
        self._objects.delete(entry.key)


def _place(at: datetime) -> str:
    return f"due/{at.astimezone(UTC):%Y-%m-%d/%H%M%S}"
