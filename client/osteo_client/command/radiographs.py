"""Finds the X-rays to submit: all files that are named, and the images in named folders."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from osteo_client.kinds import media_type


@dataclass(frozen=True)
class Radiograph:
    """A file to submit, and the folder that was named, if it was found in one."""

    file: Path
    folder: Path | None = None


Refuse = Callable[[Path, OSError], None]
"""Called with each file or folder that cannot be read; the others go on."""


def radiographs(paths: list[Path], refuse: Refuse) -> Iterator[Radiograph]:
    """Find the files among `paths`, and the images below its folders, in order.

    A folder may hold lists of patients and the like beside its X-rays; those are not for sending. Files and
    folders that cannot be read, and empty files, are passed to `refuse`.
    """
    for path in paths:
        files = _files_below(path, refuse) if path.is_dir() else [path]
        for file in files:
            try:
                image = _beginning(file)
            except OSError as error:
                refuse(file, error)
                continue
            if not image:
                refuse(file, OSError("it is empty"))
            elif file is path:
                yield Radiograph(file)
            elif media_type(image[:132]):
                yield Radiograph(file, path)


def _files_below(folder: Path, refuse: Refuse) -> Iterator[Path]:
    def say(error: OSError) -> None:
        refuse(Path(error.filename), error)

    for place, folders, names in os.walk(folder, onerror=say):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(place, name) for name in sorted(names) if not name.startswith("."))
        # A link that leads nowhere was meant as a file; a socket was not.
        yield from (file for file in files if file.is_file() or file.is_symlink())


def _beginning(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(132)
