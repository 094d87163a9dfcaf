from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.bundle import WEIGHTS, Bundle, Calibration, Thresholds, read_bundle
from model.classifier import LARGEST_BATCH, Classifier, NetworkOutput, calibrate, name_finding
from model.decode.radiograph import Radiograph
from model.engines import ONNX_RUNTIME, Outputs
from model.errors import BundleRefused
from model.exposed_field import find_field
from model.letterbox import Letterbox
from model.network import FEATURE_COUNT
from model.synthetic import draw_forearm
from tests.model.conftest import DESCRIPTION
from training.run.changed_bundle import write_changed


@pytest.fixture(scope="module")
def classifier(bundle: Bundle) -> Classifier:
    return Classifier.load(bundle.folder)


def radiograph(seed: int, size: tuple[int, int] = (180, 140)) -> Radiograph:
    return Radiograph(draw_forearm(seed, size=size).pixels, "PNG", 0.0, "")


def test_a_radiograph_scores_the_same_alone_and_in_any_batch(classifier: Classifier):
    radiographs = [radiograph(seed) for seed in range(11)]
    alone = [classifier.predict([one])[0] for one in radiographs]
    together = classifier.predict(radiographs)
    assert len(together) == 11
    for one, other in zip(alone, together, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        assert np.allclose(one.cells, other.cells, atol=1e-5)
    assert len({round(prediction.probability, 6) for prediction in alone}) > 5


@pytest.mark.parametrize("size", [(300, 40), (40, 300), (64, 64), (45, 33)])
def test_regions_lie_inside_the_image(classifier: Classifier, size: tuple[int, int]):
    prediction = classifier.predict([radiograph(1, size)])[0]
    height, width = size
    assert prediction.finding == name_finding(prediction.probability, Thresholds(0.2, 0.8, 0.02))
    for region in prediction.regions:
        x, y, w, h = region.box
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
    assert 0 <= prediction.cells.min() <= prediction.cells.max() <= 1


@pytest.mark.parametrize("score", [0.0, 0.35, 0.5, 0.55, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("cell", [0.021, 0.5, 1.0])
def test_no_region_says_more_than_the_finding(classifier: Classifier, score: float, cell: float):
    cells = np.zeros((4, 4), np.float32)
    cells[1, 1], cells[3, 2:] = cell, 0.5
    answer = NetworkOutput(score, cells, np.zeros(FEATURE_COUNT, np.float32))
    found = classifier.explain(radiograph(1), answer)
    assert len(found.regions) == (0 if found.finding == "no_fracture" else 2)
    for region in found.regions:
        assert 0 < region.score <= found.probability
        assert found.finding == "fracture" or region.score < found.points.high


def test_the_network_sees_what_the_pixel_path_yields(bundle: Bundle):
    """Serving equals the plain way: build, read the weights, letter-box by hand, predict, calibrate."""
    from model.network import FRACTURE, build
    from model.weights import read_weights

    network = build(64, "ResNet50V2")
    read_weights(bundle.folder / WEIGHTS, network)
    picture = radiograph(5, (128, 64))
    field = find_field(picture.pixels)
    place = Letterbox.of_field(field, 64)
    inner = Image.fromarray(field.cut(picture.pixels)).resize(
        (place.inner_width, place.inner_height), Image.Resampling.HAMMING
    )
    square = np.full((1, 64, 64, 1), -1.0, np.float32)
    place.crop(square[0, ..., 0])[:] = field.levels()[np.asarray(inner)] / 127.5 - 1
    score = network(square, training=False)[FRACTURE][0, 0]
    expected = calibrate(np.array(score), bundle.description.calibration)
    exact = Classifier.load(
        bundle.folder, ONNX_RUNTIME
    )  # The others take bfloat16 where the processor has it.
    assert exact.predict([picture])[0].probability == pytest.approx(float(expected), abs=1e-4)


def test_a_damaged_bundle_is_not_loaded(copied: Path):
    (copied / WEIGHTS).write_bytes((copied / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(BundleRefused):
        Classifier.load(copied)


class Shaky:
    """An engine that gives no scores for a full batch."""

    name = "shaky"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, inputs: np.ndarray) -> Outputs:
        self.batches.append(len(inputs))
        given = np.full(len(inputs), 0.5 if len(inputs) < LARGEST_BATCH else np.nan, np.float32)
        return Outputs(
            given, np.zeros((len(inputs), 4, 4), np.float32), np.zeros((len(inputs), 1), np.float32)
        )


def test_a_start_tries_a_single_picture_and_a_full_batch(bundle: Bundle, monkeypatch):
    engine = Shaky()
    monkeypatch.setattr("model.classifier.start", lambda *_: engine)
    with pytest.raises(BundleRefused):
        Classifier.load(bundle.folder)
    assert engine.batches == [1, LARGEST_BATCH]


def test_calibration_keeps_the_order_and_moves_the_middle():
    scores = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    calibrated = calibrate(scores, Calibration(temperature=2.0, bias=-1.0))
    assert (np.diff(calibrated) > 0).all()
    assert calibrated[2] == pytest.approx(1 / (1 + np.e))
    assert np.allclose(calibrate(scores[1:4], Calibration(1.0, 0.0)), scores[1:4])


@pytest.mark.parametrize(
    ("probability", "finding"),
    [
        (0.0, "no_fracture"),
        (0.29, "no_fracture"),
        (0.3, "indeterminate"),
        (0.69, "indeterminate"),
        (0.7, "fracture"),
    ],
)
def test_findings_change_at_the_thresholds(probability: float, finding: str):
    assert name_finding(probability, Thresholds(0.3, 0.7, 0.5)) == finding


@pytest.mark.parametrize("engine", [None, ONNX_RUNTIME])
def test_a_bundle_that_is_replaced_while_it_is_loaded_is_refused(engine: str | None, copied: Path):
    another = replace(DESCRIPTION, calibration=Calibration(temperature=3.0, bias=1.0))

    def replace_it(said: str) -> None:
        if said == "loading the weights":
            write_changed(copied, read_bundle(copied), another, {})

    with pytest.raises(BundleRefused, match="was replaced while it was loaded"):
        Classifier.load(copied, engine, replace_it)
    Classifier.load(copied, engine)
