"""The check that comes with the bundle, on X-rays and on what is none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from model.bundle import CHECK
from model.image import NotARadiograph, Radiograph, decode
from model.radiograph_check import RadiographCheck, contrast
from model.synthetic import draw_forearm
from tests import pictures
from tests.xrays import XRAYS, needs_xrays

CHECKED = RadiographCheck.from_json((Path(__file__).parents[2] / "model/bundle" / CHECK).read_text())


def gray(pixels: np.ndarray) -> Radiograph:
    return Radiograph(pixels, "PNG", 0.0, "")


def clouds() -> np.ndarray:
    """Detail at every scale and from edge to edge, as photographs have it: noise with a 1/f spectrum."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(240)[:, None], np.fft.rfftfreq(320)[None])
    frequency[0, 0] = 1
    values = np.fft.irfft2(np.fft.rfft2(random.normal(size=(240, 320))) / frequency, (240, 320))
    return ((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)


def page() -> np.ndarray:
    """A page of text."""
    picture = Image.new("L", (600, 800), 250)
    font = ImageFont.load_default(14)
    for line in range(30):
        ImageDraw.Draw(picture).text((40, 40 + line * 24), "Findings: none. " * 5, fill=10, font=font)
    return np.asarray(picture)


@pytest.mark.parametrize("seed", range(100, 112))
def test_a_synthetic_radiograph_passes(seed: int):
    CHECKED.refuse_unless_radiograph(gray(draw_forearm(seed, fracture=seed % 2 == 0).pixels))


def test_what_is_in_colour_is_refused():
    with pytest.raises(NotARadiograph, match="colour"):
        CHECKED.refuse_unless_radiograph(decode(pictures.encoded(pictures.colours())))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_what_is_blank_is_refused(level: int):
    with pytest.raises(NotARadiograph, match="blank"):
        CHECKED.refuse_unless_radiograph(gray(np.full((200, 200), level, np.uint8)))


@pytest.mark.parametrize(
    "pixels",
    [clouds(), page(), np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)],
    ids=["clouds", "page", "noise"],
)
def test_what_looks_otherwise_is_refused(pixels: np.ndarray):
    with pytest.raises(NotARadiograph, match="does not look like"):
        CHECKED.refuse_unless_radiograph(gray(pixels))


def test_numbers_survive_being_stored():
    assert RadiographCheck.from_json(CHECKED.to_json()) == CHECKED


@needs_xrays
def test_nearly_all_real_xrays_pass():
    refused = 0
    paths = sorted(XRAYS.iterdir())[::20]
    for path in paths:
        try:
            CHECKED.refuse_unless_radiograph(decode(path.read_bytes()))
        except NotARadiograph:
            refused += 1
    assert refused <= 0.02 * len(paths), f"{refused} of {len(paths)} X-rays were refused"


def test_the_contrast_is_the_standard_deviation_of_the_pixels():
    pixels = draw_forearm(3, size=(200, 150)).pixels
    assert contrast(pixels) == pytest.approx(pixels.std(), rel=1e-9)
