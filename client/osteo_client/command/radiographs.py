"""Which files are X-rays to submit: all that are named, and of a folder those that begin as images do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BEGINNINGS = (
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"II*\0"),  # TIFF
    (0, b"MM\0*"),
    (0, b"BM"),
    (8, b"WEBP"),
    (128, b"DICM"),
)


@dataclass(frozen=True)
class Radiograph:
    """A file to submit, and the folder that was named, if it was found in one."""

    file: Path
    folder: Path | None = None


def radiographs(paths: list[Path]) -> Iterator[Radiograph]:
    """The files among `paths`, and the images below its folders, in order. Raises FileNotFoundError.

    A folder may hold lists of patients and the like beside its X-rays; those are not for sending.
    """
    for path in paths:
        if path.is_dir():
            found = (file for file in sorted(path.rglob("*")) if _visible(file.relative_to(path)))
            yield from (Radiograph(file, path) for file in found if file.is_file() and _is_image(file))
        elif path.exists():
            yield Radiograph(path)
        else:
            raise FileNotFoundError(f"There is no {path}.")


def _visible(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts)


def _is_image(file: Path) -> bool:
    with file.open("rb") as opened:
        beginning = opened.read(132)
    return any(beginning[at:].startswith(mark) for at, mark in BEGINNINGS)
