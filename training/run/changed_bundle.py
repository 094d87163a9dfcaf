"""Writes a bundle again with the same network: another description, and some of its texts anew."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from model.bundle import GRAPH, MANIFEST, WEIGHTS, Bundle, Description, write_bundle


def write_changed(folder: Path, bundle: Bundle, description: Description, texts: Mapping[str, str]) -> Bundle:
    """Write `bundle` to `folder`, which may be its own; files that `texts` does not name are copied."""
    names = json.loads((bundle.folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return write_bundle(
        folder,
        description,
        _copy_of(bundle.folder / WEIGHTS),
        (bundle.folder / GRAPH).read_bytes(),
        dict(texts),
        {name: _copy_of(bundle.folder / name) for name in names if name not in {WEIGHTS, GRAPH, *texts}},
    )


def _copy_of(file: Path) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        shutil.copyfile(file, path)

    return write
