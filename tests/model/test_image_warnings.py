"""The warnings about an X-ray: each on a picture that deserves it, none on one that does not."""

from typing import get_type_hints

import numpy as np
import pytest

from jobs.record.documents import ResultWarning
from model.decode.image import decode
from model.exposed_field import find_field
from model.image_warnings import CLIPPED, CUT_OFF, DIM, DISPLAY, SMALL, UNUSUAL, find_warnings
from model.synthetic import draw_forearm
from tests.xrays import XRAYS, needs_xrays

FOREARM = draw_forearm(3, size=(500, 400)).pixels


def warning_types(pixels: np.ndarray) -> list[str]:
    return [warning.type for warning in find_warnings(pixels, find_field(pixels))]


def overexposed() -> np.ndarray:
    return np.clip(FOREARM * 3.0, 0, 255).astype(np.uint8)


def cut_off() -> np.ndarray:
    pixels = FOREARM.copy()
    pixels[400:] = 128
    return pixels


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (FOREARM, []),
        (FOREARM[::4, ::4], ["small-image"]),
        (np.round(FOREARM * 0.1 + 40).astype(np.uint8), ["low-contrast"]),
        (overexposed(), ["clipped"]),
        (255 - overexposed(), ["clipped"]),
        (cut_off(), ["cut-off"]),
    ],
    ids=["fit", "small", "dim", "overexposed", "overexposed negative", "cut off"],
)
def test_each_fault_has_its_note(pixels: np.ndarray, expected: list[str]):
    assert warning_types(pixels) == expected


@needs_xrays
def test_few_real_xrays_have_a_note():
    paths = sorted(XRAYS.iterdir())[::30]
    found_in = [found for path in paths if (found := warning_types(decode(path.read_bytes()).pixels))]
    assert len(found_in) <= 0.06 * len(paths), found_in


def test_the_api_describes_every_type_of_warning():
    (described, *_) = get_type_hints(ResultWarning, include_extras=True)["type"].__metadata__
    assert described["enum"] == [UNUSUAL, DISPLAY, SMALL, DIM, CLIPPED, CUT_OFF]
