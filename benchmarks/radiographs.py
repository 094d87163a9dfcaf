"""Draws the radiographs that the benchmarks send, about as large as a telemedicine client's."""

import io
from functools import cache
from itertools import cycle, islice

from PIL import Image

from model.synthetic import draw_forearm

DIFFERENT = 2
"""Nothing in the service remembers what it has seen, and a large one takes longer to draw than to analyse."""


def radiographs(count: int, kilobytes: int = 100) -> list[bytes]:
    """Synthetic radiographs as JPEG, each of about `kilobytes`: a few, over and over."""
    return list(islice(cycle(_drawn(kilobytes)), count))


@cache
def _drawn(kilobytes: int) -> tuple[bytes, ...]:
    return tuple(_jpeg(seed, kilobytes) for seed in range(DIFFERENT))


def _jpeg(seed: int, kilobytes: int) -> bytes:
    # At quality 90, such a picture takes an eighth of a byte a pixel.
    height = round((kilobytes * 1000 * 8 * 4 / 3) ** 0.5)
    stored = io.BytesIO()
    Image.fromarray(draw_forearm(seed, size=(height, height * 3 // 4)).pixels).save(
        stored, "JPEG", quality=90
    )
    return stored.getvalue()
