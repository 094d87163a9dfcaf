"""Records what the network of a run began with, and what that had learned from, for the card."""

import json
import shutil
from pathlib import Path
from typing import Any

from model.bundle import Bundle, read_metrics
from training.data.known_xrays import FILE, PARTS, KnownXrays, coarse_of, read_known
from training.data.manifest import read_manifest
from training.data.split import TEST, TRAIN, VALIDATION, read_split
from training.run.atomic_file import write_json
from training.run.errors import StepRefused

_ANCESTRY, BEFORE = "ancestry.json", f"before_{FILE}"


class KnowsTheTest(StepRefused):
    """The bundle to begin with has learned from what the run measures on; says how many and what to do."""


def write_ancestry(run: Path, bundle: Bundle | None) -> None:
    """Write the bundles that a run's network goes back to, nearest first, and the X-rays that they know."""
    ancestors: list[dict[str, Any]] = []
    if bundle is not None:
        metrics, described = read_metrics(bundle), bundle.description
        ancestors = [
            {
                "name": described.name,
                "version": described.version,
                "sha256": bundle.sha256,
                "data": described.data,
                "licence": described.licence,
                "division": metrics.get("data", {}).get("division"),
                "names_its_xrays": read_known(bundle.folder) is not None,
            },
            *metrics.get("ancestry", []),
        ]
        if (bundle.folder / FILE).exists():
            shutil.copyfile(bundle.folder / FILE, run / BEFORE)
    write_json(run / _ANCESTRY, ancestors)


def read_ancestry(run: Path) -> list[dict[str, Any]]:
    """Read what `write_ancestry` wrote; an empty list where the network began with no bundle."""
    path = run / _ANCESTRY
    ancestors: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return ancestors


def read_known_before(run: Path) -> KnownXrays | None:
    """Read the X-rays that the run's network knew when it began; None where its bundle names none."""
    return read_known(run, BEFORE)


def refuse_overlap(run: Path, known: KnownXrays | None) -> None:
    """Raise KnowsTheTest if `known` X-rays were learned from and are measured on in the run.

    The run's test part may hold none that was trained or validated on, its validation part none that was
    trained on; by content, under any name of file or folder.
    """
    if known is None:
        return
    split, entries = read_split(run), read_manifest(run)
    found = known.find([entry.sha256 for entry in entries], coarse_of(run, entries))
    forbidden = {TEST: {TRAIN, VALIDATION}, VALIDATION: {TRAIN}}
    for part, learned in forbidden.items():
        overlap = sum(
            place >= 0 and split[entry.image][1] == part and PARTS[known.parts[place]] in learned
            for entry, place in zip(entries, found, strict=True)
        )
        if overlap:
            raise KnowsTheTest(
                f"The network to begin with has learned from {overlap} X-rays of the {part} part of {run}, "
                "or from copies of them: what is measured there would be too good. Divide as that network's "
                "data was divided, leave these X-rays out, or begin with something else."
            )
