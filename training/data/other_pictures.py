"""Reads and draws pictures that are no X-rays of the run, for `training.fit_check`."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.run.errors import StepRefused

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def read_some(archives: Sequence[Path], most: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Decode up to `most` pictures of each zip, and the kind of each: its file's name up to the underscore.

    StepRefused if an archive is missing or holds no WebP.
    """
    pictures, kinds = [], []
    for path in archives:
        if not path.exists():
            raise StepRefused(f"{path} is missing; name zips of WebP files called KIND_anything.webp")
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".webp"))
            if not names:
                raise StepRefused(f"{path} holds no WebP; it should hold files called KIND_anything.webp")
            for i in np.sort(np.random.default_rng(len(names)).permutation(len(names))[:most]):
                with Image.open(io.BytesIO(archive.read(names[i])), formats=("WEBP",)) as picture:
                    pictures.append(np.asarray(picture.convert("L")))
                kinds.append(f"{path.stem} {Path(names[i]).name.split('_')[0]}")
    return pictures, np.array(kinds)


def draw_page(seed: int) -> np.ndarray:
    """Draw a page of words that mean nothing, dark on light or the reverse: uint8 (height, width)."""
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(500, 1100, 2))
    paper, ink = (int(random.integers(200, 256)), int(random.integers(0, 80)))
    if random.random() < 0.3:
        paper, ink = ink, paper
    page = Image.new("L", (width, height), paper)
    pen, size = ImageDraw.Draw(page), int(random.integers(14, 40))
    font = ImageFont.load_default(size)
    y = size
    while y < height - size:
        words = "".join(random.choice([*_LETTERS, " ", " "], max(4, int(width / size * 1.6))))
        if random.random() < 0.85:
            pen.text((size, y), words, fill=ink, font=font)
        y += round(size * random.choice([1.3, 1.5, 2.4]))
    return np.asarray(page)
