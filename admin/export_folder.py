"""Writes a folder of labelled X-rays that `training.collect` reads, and takes out what is revoked.

images/<name>.png, labels.csv             what models may learn from
held-out/images/<name>.png, .../labels.csv a fifth of the groups, for measuring alone
revoked.csv                               what was in an earlier export, and has been taken out
export.json                               whose readings these are, and what was left out
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HELD_OUT = "held-out"
_HELD_OUT_OF = 5
"""One of so many groups is held out."""
_LABELS, _REVOKED, _REPORT = "labels.csv", "revoked.csv", "export.json"
COLUMNS = (
    *(
        "image",
        "sha256",
        "fractured",
        "group",
        "patient",
        "consent",
        "region",
        "frontal",
        "lateral",
        "oblique",
        "licence",
    ),
    *("boxes", "points", "blind", "first_finding", "arbitrated", "reader", "seconds"),
    *("model", "model_finding", "model_probability", "disagreement", "grade"),
)

Row = dict[str, Any]


class OtherFolder(ValueError):
    """The folder holds an export of other clients, or under another key."""


@dataclass(frozen=True)
class ExportFolder:
    """The folder of an export. `terms`: what has to be the same in each export into it."""

    path: Path
    terms: Mapping[str, Any]

    def open(self) -> None:
        """Make the folder, for its owner alone. Raises OtherFolder for one with other files or exports."""
        report = self.path / _REPORT
        if not report.exists() and any(self._found()):
            raise OtherFolder(f"{self.path} has labels or images, and is no export: name another folder")
        for part in ("", HELD_OUT):
            (self.path / part / "images").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        if not report.exists():
            return _write(report, _json({**self.terms}))
        before = json.loads(report.read_text())
        for name, value in self.terms.items():
            if before[name] != value:
                raise OtherFolder(
                    f"{self.path} holds an export with another {name}: what it has would look revoked."
                    " Name another folder"
                )

    def _found(self) -> Iterator[Path]:
        """Yield the labels and images that are there, which an export replaces and deletes."""
        for part in ("", HELD_OUT):
            folder = self.path / part
            yield from folder.glob(_LABELS)
            yield from folder.glob("images/*")

    def column(self, name: str) -> dict[str, str]:
        """Return a column of the labels by image, as the last export into the folder wrote it."""
        rows = (row for part in ("", HELD_OUT) for row in _rows(self.path / part / _LABELS))
        return {row["image"]: row[name] for row in rows if name in row}

    def image(self, name: str, group: str) -> Path:
        """Return where the image of a group lies."""
        return self.path / (HELD_OUT if held_out(group) else "") / "images" / name

    def close(self, rows: Sequence[Row], why_gone: Mapping[str, str], counts: Mapping[str, Any]) -> int:
        """Write the tables, delete every other image, and return how many are revoked.

        `why_gone`: why an image is no longer in the export, by its name, where that is known. A process that
        is killed in between leaves nothing that the next export does not complete.
        """
        kept = {row["image"] for row in rows}
        earlier = {row["image"]: row["why"] for row in _rows(self.path / _REVOKED)}
        for part in ("", HELD_OUT):
            for row in _rows(self.path / part / _LABELS):
                earlier.setdefault(row["image"], why_gone.get(row["image"], "the job was deleted"))
        revoked = {name: why for name, why in sorted(earlier.items()) if name not in kept}
        # First: an image that is not in labels.csv any more is in this table.
        _write_table(
            self.path / _REVOKED, ("image", "why"), [{"image": n, "why": w} for n, w in revoked.items()]
        )
        paths = {self.image(row["image"], row["group"]) for row in rows}
        for part in ("", HELD_OUT):
            own = [row for row in rows if held_out(row["group"]) == bool(part)]
            _write_table(self.path / part / _LABELS, COLUMNS, own)
            for file in (self.path / part / "images").iterdir():
                if file not in paths:
                    file.unlink()
        report = {**self.terms, "held_out": sum(held_out(row["group"]) for row in rows), **counts}
        _write(self.path / _REPORT, _json(report | {"revoked": len(revoked)}))
        return len(revoked)


def held_out(group: str) -> bool:
    """Return whether a group is for measuring alone."""
    return int(group[:8], 16) % _HELD_OUT_OF == 0


def write_image(path: Path, png: bytes) -> str:
    """Write an image, and return its SHA-256."""
    _write(path, png)
    return hashlib.sha256(png).hexdigest()


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    _write(path, text.getvalue().encode())


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
