"""The check that comes with the bundle, on X-rays and on other pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from model.bundle import CHECK, Bundle
from model.classifier import Classifier
from model.decode.image import NotARadiograph, Radiograph, decode
from model.engines import ONNX_RUNTIME, start
from model.network import FEATURE_COUNT
from model.radiograph_check import RadiographCheck, contrast, is_blank
from model.synthetic import draw_forearm
from tests import pictures
from tests.xrays import XRAYS, needs_xrays
from training.evaluation.perturbations import as_delivered

BUNDLED = Path(__file__).parents[2] / "model/bundle"
CHECKED = RadiographCheck.from_json((BUNDLED / CHECK).read_text())


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(BUNDLED)


def is_refused(classifier: Classifier, radiograph: Radiograph) -> bool:
    try:
        classifier.refuse_unless_gray(radiograph)
        classifier.predict([radiograph])
    except NotARadiograph:
        return True
    return False


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


@pytest.mark.parametrize("seed", range(100, 106))
def test_a_synthetic_radiograph_passes(classifier: Classifier, seed: int):
    assert not is_refused(classifier, gray(draw_forearm(seed, fracture=seed % 2 == 0).pixels))


def test_a_picture_in_colour_is_refused_before_the_network_runs():
    with pytest.raises(NotARadiograph, match="colour"):
        CHECKED.refuse_unless_gray(decode(pictures.encoded(pictures.colours())))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_refused_before_the_network_runs(level: int):
    with pytest.raises(NotARadiograph, match="blank"):
        CHECKED.refuse_unless_gray(gray(np.full((200, 200), level, np.uint8)))


@pytest.mark.parametrize(
    "pixels",
    [clouds(), page(), np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)],
    ids=["clouds", "page", "noise"],
)
def test_a_picture_of_something_else_is_refused_or_marked(classifier: Classifier, pixels: np.ndarray):
    if not is_refused(classifier, gray(pixels)):
        (prediction,) = classifier.predict([gray(pixels)])
        assert "unusual-image" in [warning.type for warning in prediction.warnings]


def test_doubt_lies_between_the_refused_and_the_others():
    check = RadiographCheck((1.0,) + (0.0,) * (FEATURE_COUNT - 1), 0.5, -2.0, 1.0, 0.1, 4.0)
    features = np.zeros(FEATURE_COUNT, np.float32)
    for value, doubtful in ((0.6, False), (0.4, True), (-2.4, True)):
        features[0] = value
        assert check.is_doubtful(features) is doubtful
    features[0] = -2.6
    with pytest.raises(NotARadiograph, match="does not look like"):
        check.is_doubtful(features)


def test_a_doubtful_picture_is_analysed_and_marked(bundle: Bundle):
    doubting = RadiographCheck((0.0,) * FEATURE_COUNT, 0.0, -1.0, 1.0, 0.1, 4.0)
    classifier = Classifier(bundle, start(ONNX_RUNTIME, bundle, lambda _: None), doubting)
    (prediction,) = classifier.predict([gray(draw_forearm(1, size=(300, 300)).pixels)])
    assert [warning.type for warning in prediction.warnings] == ["unusual-image"]


def test_numbers_survive_being_stored():
    stored = RadiographCheck.from_json(CHECKED.to_json())
    assert stored == RadiographCheck.from_json(stored.to_json())


def test_a_check_on_other_features_is_not_read():
    with pytest.raises(ValueError, match="features"):
        RadiographCheck.from_json(CHECKED.to_json().replace('"coefficients": [', '"coefficients": [ 0.0,', 1))


@needs_xrays
@pytest.mark.parametrize("every", [160, pytest.param(40, marks=pytest.mark.long)])
def test_no_real_xray_is_refused_however_it_is_delivered(classifier: Classifier, every: int):
    paths = sorted(XRAYS.iterdir())[::every]
    xrays = [as_delivered(decode(path.read_bytes()).pixels, n) for n, path in enumerate(paths)]
    refused = [
        path.name for path, pixels in zip(paths, xrays, strict=True) if is_refused(classifier, gray(pixels))
    ]
    assert len(refused) <= 1, f"{refused} of {len(paths)}"


def test_the_contrast_is_the_standard_deviation_of_the_pixels():
    pixels = draw_forearm(3, size=(200, 150)).pixels
    assert contrast(pixels) == pytest.approx(pixels.std(), rel=1e-9)


def test_a_part_of_the_rows_never_decides_otherwise_than_all_of_them():
    random = np.random.default_rng(4)
    drawn = [random.normal(128, deviation, (61, 40)) for deviation in np.linspace(0.5, 20, 40)]
    for rows in (slice(None, None, 8), slice(1, None, 8), slice(30, 34)):
        for deviation in (4, 8, 16, 32):
            striped = random.normal(128, 2, (61, 40))
            striped[rows] += random.normal(0, deviation, striped[rows].shape)
            drawn.append(striped)
    found = set()
    for picture in drawn:
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        assert is_blank(pixels, 4.0) == (pixels.std() < 4.0)
        found.add(is_blank(pixels, 4.0))
    assert found == {True, False}
