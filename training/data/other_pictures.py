"""Reads and draws pictures that are no X-rays of the run, for `training.fit_check`."""

import io
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.run.errors import StepRefused

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def read_some(archive: Path, most: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Decode up to `most` pictures of a zip, as many of each kind as there are; return the kind of each too.

    The kind is the file's name up to the first hyphen or underscore: archives name a part of a thing after
    it (flamingo, flamingo-head). StepRefused if the archive is missing or holds no WebP.
    """
    if not archive.exists():
        raise StepRefused(f"{archive} is missing; name zips of WebP files called KIND_anything.webp")
    with zipfile.ZipFile(archive) as stored:
        names = sorted(name for name in stored.namelist() if name.endswith(".webp"))
        if not names:
            raise StepRefused(f"{archive} holds no WebP; it should hold files called KIND_anything.webp")
        before: Counter[str] = Counter()
        turns: list[tuple[int, int, str, str]] = []
        for i in np.random.default_rng(len(names)).permutation(len(names)):
            kind = re.split("[-_]", Path(names[i]).name)[0]
            turns.append((before[kind], len(turns), names[i], kind))
            before[kind] += 1
        chosen = sorted((name, kind) for _, _, name, kind in sorted(turns)[:most])
        pictures = []
        for name, _ in chosen:
            with Image.open(io.BytesIO(stored.read(name)), formats=("WEBP",)) as picture:
                pictures.append(np.asarray(picture.convert("L")))
    return pictures, np.array([kind for _, kind in chosen])


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
