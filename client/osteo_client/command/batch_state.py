"""Keeps how far `osteo batch` has come with an archive, so that the same command goes on."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from osteo_client.command.archive import Entry
from osteo_client.command.table import COLUMNS

_TABLE = """CREATE TABLE IF NOT EXISTS images
    (file PRIMARY KEY, job, state, finding, probability, model, warnings, error, version, ended)"""
_KNOWN = "SELECT job, ended FROM images WHERE file = ? AND version = ?"
_PUT = """INSERT OR REPLACE INTO images VALUES
    (:file, :job, :state, :finding, :probability, :model, :warnings, :error, :version, :ended)"""
_COUNTS = """SELECT coalesce(finding, state, 'refused') AS what, count(*)
    FROM images WHERE ended GROUP BY what ORDER BY what"""
_ROWS = """SELECT file, job, state, finding, probability, model, warnings, error
    FROM images ORDER BY file"""


@dataclass(frozen=True)
class Known:
    """What is known of one image from an earlier run."""

    job: str | None
    ended: bool
    """Whether its job has ended, or the service has refused it."""


class BatchState:
    """The images of one archive at one service, in a SQLite file for its owner alone."""

    def __init__(self, url: str, archive: str) -> None:
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        name = hashlib.sha256(f"{url} {archive}".encode(errors="surrogateescape")).hexdigest()[:16]
        self.file = Path(state, "osteo", f"batch-{name}.sqlite")
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file.touch(mode=0o600)
        self._database = sqlite3.connect(self.file, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(_TABLE)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def known(self, entry: Entry) -> Known | None:
        """Return what is known of an image in this version."""
        found = self._database.execute(_KNOWN, (entry.name, entry.version)).fetchone()
        return Known(found[0], bool(found[1])) if found else None

    def put(self, entry: Entry, row: dict[str, object], ended: bool) -> None:
        """Record an image: the row of the table, and whether all is known of it."""
        values = dict.fromkeys(COLUMNS) | row
        values |= {"file": entry.name, "version": entry.version, "ended": ended}
        self._database.execute(_PUT, values)

    def counts(self) -> dict[str, int]:
        """Count the images that have ended, by finding, or by the state of those without a result."""
        return dict(self._database.execute(_COUNTS).fetchall())

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield the row of each image, one at a time."""
        for values in self._database.execute(_ROWS):
            yield dict(zip(COLUMNS, values, strict=True))
