"""Finds the X-rays that a bundle has learned from and was measured on, by their digests, in any folders."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from training.data.known_xrays import FILE, PARTS, read_known
from training.data.layouts import find_xrays
from training.run.errors import StepRefused


def find_parts(bundle: Path, folders: Sequence[Path]) -> dict[str, list[tuple[Path, str, str]]]:
    """List path, group and source of each X-ray of each part; an X-ray without a group is one by itself.

    The folders have a form that `training.collect` reads. What the bundle does not know is left out.
    StepRefused where the bundle names no X-rays, or the folders have none of a part.
    """
    known = read_known(bundle)
    if known is None:
        raise StepRefused(f"{bundle} has no {FILE}: it does not say which X-rays it has learned from")
    part_of = {bytes(row): PARTS[part] for row, part in zip(known.sha256, known.parts, strict=True)}
    parts: dict[str, list[tuple[Path, str, str]]] = {part: [] for part in PARTS}
    for folder in folders:
        for one in tqdm(find_xrays(folder), f"reading {folder}", unit="image"):
            part = part_of.pop(hashlib.sha256(one.path.read_bytes()).digest(), None)
            if part is not None:
                group = f"{folder} {one.group}" if one.group else str(one.path)
                parts[part].append((one.path, group, folder.name))
    if missing := [part for part, found in parts.items() if not found]:
        raise StepRefused(
            f"the folders have no X-ray of the {', '.join(missing)} part of {bundle}; name those that it was "
            "trained on"
        )
    return parts
