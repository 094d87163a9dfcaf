"""Finds what a run has learned from and may not use any more: the X-rays whose consent was revoked."""

import csv
from collections.abc import Sequence
from pathlib import Path

from training.data.manifest import MANIFEST, read_manifest

_REVOKED = "revoked.csv"
"""What an export of signed readings has taken out of its folder: `image`, `why`."""


def find_revoked(folders: Sequence[Path], run: Path) -> list[dict[str, str]]:
    """List what of the run's present manifest its collection has since revoked: `image`, and `why`."""
    if not (run / MANIFEST).exists():
        return []
    why = {(folder.name, name): why for folder in folders for name, why in _revoked_of(folder).items()}
    held = ((entry.source, Path(entry.image).name, entry.image) for entry in read_manifest(run))
    gone = ((image, why[source, name]) for source, name, image in held if (source, name) in why)
    return [{"image": image, "why": reason} for image, reason in sorted(gone)]


def _revoked_of(folder: Path) -> dict[str, str]:
    table = folder / _REVOKED
    if not table.exists():
        return {}
    with table.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row["why"] for row in csv.DictReader(file)}
