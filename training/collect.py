"""First step: `python -m training.collect FOLDER ... --run RUN` turns collections into one manifest.

Images that are cut off, and copies of one image that carry both labels, would teach a model something false:
they are refused and counted. Writes manifest.csv and collect.json, and keeps what a killed run has measured.
"""

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.decode.image import decode
from model.errors import ImageError
from training.data.fingerprints import Fingerprints
from training.data.layouts import Found, describe, find_xrays
from training.data.manifest import ManifestRow, write_manifest
from training.data.near_duplicates import Fingerprint, find_near_duplicates
from training.data.revoked import find_revoked
from training.run.atomic_file import write_json
from training.run.errors import exit_with_message

REPORT = "collect.json"
_STRIP, _FLATNESS = 0.02, 1


@dataclass(frozen=True)
class _RefusedXray:
    """An image that does not enter the manifest, and why."""

    path: Path
    why: str


def collect(
    folders: Sequence[Path], run: Path, licences: Mapping[str, str] | None = None
) -> list[ManifestRow]:
    """Look at every X-ray of the collections; write and return those that may be learned from.

    `licences` says, by the folder's name, what a collection itself leaves open.
    """
    run.mkdir(parents=True, exist_ok=True)
    revoked = find_revoked(folders, run)
    found = [(folder, one) for folder in folders for one in find_xrays(folder)]
    entries: list[ManifestRow] = []
    refused: list[_RefusedXray] = []
    with Fingerprints(run) as fingerprints:
        taken: list[Fingerprint] = []
        for folder, one in tqdm(found, "collecting", unit="image"):
            try:
                data = one.path.read_bytes()
                pixels = decode(data).pixels
                _refuse_cut_off(data, pixels)
            except (ImageError, OSError, ValueError) as error:
                refused.append(_RefusedXray(one.path, str(error)))
                continue
            licence = (licences or {}).get(folder.name, one.licence)
            digest, size = hashlib.sha256(data).hexdigest(), (pixels.shape[1], pixels.shape[0])
            entries.append(describe(folder, one, run, digest, size, licence))
            taken.append(fingerprints.take(entries[-1].sha256, pixels))
    conflicting = _find_conflicts(entries, taken)
    refused += [
        _RefusedXray(run / entries[i].image, "a copy of it carries the other label") for i in conflicting
    ]
    kept = [entry for i, entry in enumerate(entries) if i not in conflicting]
    write_manifest(run, kept)
    report = {
        "collections": [str(folder) for folder in folders],
        "found": len(found),
        "kept": len(kept),
        "fractured": sum(entry.fractured for entry in kept),
        "by_region": dict(Counter(entry.region for entry in kept).most_common()),
        "refused": len(refused),
        "refused_because": dict(Counter(one.why for one in refused).most_common()),
        "revoked": revoked,
        "groups_in_two_folders": _count_shared_groups(found),
        "refused_images": [{"image": os.path.relpath(one.path, run), "why": one.why} for one in refused],
    }
    write_json(run / REPORT, report)
    return kept


def _count_shared_groups(found: Sequence[tuple[Path, Found]]) -> int:
    """Count the groups that two folders name. A group ties X-rays within one folder alone."""
    named = {(one.group, folder) for folder, one in found if one.group}
    return sum(count > 1 for count in Counter(group for group, _ in named).values())


def _refuse_cut_off(data: bytes, pixels: np.ndarray) -> None:
    """Raise ValueError for an image that ends early, also one that was saved again after it had.

    A decoder fills what is missing of a JPEG with flat gray. 59 images of FracAtlas end so, none of them
    fractured: a classifier would learn the strip.
    """
    if data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise ValueError("the file ends early")
    strip = pixels[-max(4, round(len(pixels) * _STRIP)) :]
    if np.ptp(strip) <= _FLATNESS and 96 <= int(strip.mean()) <= 160:
        raise ValueError("the picture ends in a flat gray strip, as one does that was cut off")


def _find_conflicts(entries: Sequence[ManifestRow], fingerprints: Sequence[Fingerprint]) -> set[int]:
    """List the images that have a copy with the other label, of which one must be wrong."""
    pairs = find_near_duplicates(fingerprints)
    return {k for i, j, _ in pairs if entries[i].fractured != entries[j].fractured for k in (i, j)}


def _named(text: str) -> tuple[str, str]:
    name, found, licence = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=LICENCE")
    return name, licence


def main() -> None:
    """Run `python -m training.collect`."""
    parser = argparse.ArgumentParser(description="Turn collections of X-rays into one manifest.")
    what = "FracAtlas unpacked, or with labels.csv (as admin.export_readings writes), or a folder per class"
    parser.add_argument("folders", type=Path, nargs="+", help=what)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--licence",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=LICENCE",
        help="licence of the folder called NAME",
    )
    options = parser.parse_args()
    with exit_with_message("collect"):
        entries = collect(options.folders, options.run, dict(options.licence))
    report = json.loads((options.run / REPORT).read_text(encoding="utf-8"))
    for why, count in report["refused_because"].items():
        print(f"refused {count}: {why}", file=sys.stderr)
    if shared := report["groups_in_two_folders"]:
        print(
            f"{shared} groups have a name in two folders, and are taken for different ones: put the X-rays of"
            " one hospital into one folder",
            file=sys.stderr,
        )
    for one in report["revoked"]:
        print(f"revoked: {one['image']}: {one['why']}", file=sys.stderr)
    if report["revoked"]:
        print(
            f"{len(report['revoked'])} X-rays of this run's last manifest are revoked, and no longer in it: a"
            " network that has learned from them is to be trained again",
            file=sys.stderr,
        )
    print(
        f"{len(entries)} X-rays, {report['fractured']} fractured; {report['refused']} refused. "
        f"Now: python -m training.prepare --run {options.run}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
