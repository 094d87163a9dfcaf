"""Finds what a run has learned from and may not use any more: the X-rays whose consent was revoked."""

import csv
from collections.abc import Sequence
from pathlib import Path

from training.data.manifest import MANIFEST, read_manifest

_REVOKED = "revoked.csv"
"""What an export of signed readings has taken out of its folder: `image`, `why`."""


def find_revoked(folders: Sequence[Path], run: Path) -> list[str]:
    """List the images of the run's present manifest that their collection has since revoked."""
    if not (run / MANIFEST).exists():
        return []
    revoked = {(folder.name, name) for folder in folders for name in _revoked_of(folder)}
    held = ((entry.source, Path(entry.image).name, entry.image) for entry in read_manifest(run))
    return sorted(image for source, name, image in held if (source, name) in revoked)


def _revoked_of(folder: Path) -> set[str]:
    table = folder / _REVOKED
    if not table.exists():
        return set()
    with table.open(newline="", encoding="utf-8") as file:
        return {row["image"] for row in csv.DictReader(file)}
