"""Writes a bundle again with the same network: another description, and some of its texts anew."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from model.bundle import GRAPH, MANIFEST, WEIGHTS, Bundle, Description, write_bundle


def write_changed(
    folder: Path,
    bundle: Bundle,
    description: Description,
    texts: Mapping[str, str],
    others: Mapping[str, Callable[[Path], None]] | None = None,
) -> Bundle:
    """Write `bundle` to `folder`, which may be its own. Files that are not named are copied.

    `texts` maps names of files to their content, `others` to what writes them to a path.
    """
    written = others or {}
    names = json.loads((bundle.folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return write_bundle(
        folder,
        description,
        _copy_of(bundle.folder / WEIGHTS),
        (bundle.folder / GRAPH).read_bytes(),
        dict(texts),
        {
            name: written.get(name, _copy_of(bundle.folder / name))
            for name in {*names, *written} - {WEIGHTS, GRAPH, *texts}
        },
    )


def _copy_of(file: Path) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        shutil.copyfile(file, path)

    return write
