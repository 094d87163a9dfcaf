import numpy as np
import pytest

from model.network import FRACTURE, WHERE, build
from tests.model.test_regions import bump
from tests.training.collections_of_xrays import an_entry
from training.batches.examples import Example
from training.evaluation.localisation import best_box, box_overlap, cover, grad_cam, overlap, peak_hits


def boxed(x: float, y: float, w: float, h: float) -> Example:
    return Example(an_entry(fractured=True), "g", np.zeros((64, 64), np.uint8), ((x, y, w, h),), ())


def hot(row: int, column: int) -> np.ndarray:
    heat = np.zeros((4, 4), np.float32)
    heat[row, column] = 1
    return heat


def test_a_peak_hits_inside_a_box_and_a_little_beside_it():
    # The middle of cell (1, 2) lies at x = 40, y = 24; the margin is 5 % of 64 pixels.
    assert peak_hits(boxed(38, 20, 6, 6), hot(1, 2), margin=0)
    assert not peak_hits(boxed(42, 20, 6, 6), hot(1, 2), margin=0)
    assert peak_hits(boxed(42, 20, 6, 6), hot(1, 2))
    assert not peak_hits(boxed(44, 20, 6, 6), hot(1, 2))
    assert not peak_hits(boxed(38, 20, 6, 6), hot(2, 2))


def test_overlap_is_intersection_over_union():
    assert overlap(boxed(32, 16, 15, 15), hot(1, 2) > 0.5) == 1
    assert overlap(boxed(32, 16, 31, 15), hot(1, 2) > 0.5) == pytest.approx(0.5)
    assert overlap(boxed(0, 0, 15, 15), hot(1, 2) > 0.5) == 0


def test_a_best_region_is_measured_by_its_box():
    cells = bump(64, 40, 24, 6)
    box = best_box(boxed(0, 0, 1, 1), cells, 0.5)
    assert box is not None
    x, y, w, h = box
    assert abs(x + w / 2 - 40) <= 2
    assert abs(y + h / 2 - 24) <= 2
    assert box_overlap(boxed(*box), box) == 1
    assert box_overlap(boxed(x + w, y, w, h), box) == 0
    assert box_overlap(boxed(x, y, 2 * w, h), box) == pytest.approx(0.5)
    assert overlap(boxed(x, y, w - 1, h - 1), cover(cells, 0.5)) > 0.6
    assert best_box(boxed(*box), cells, 1.0) is None
    assert not cover(cells, 1.0).any()


def test_grad_cam_is_what_the_gradient_tape_gives():
    import keras
    import tensorflow as tf

    network = build(64, "ResNet50V2")
    random = np.random.default_rng(0)
    squares = list(random.integers(0, 255, (2, 64, 64), np.uint8))
    names = ("whole_relu2", FRACTURE)
    head = network.get_layer(FRACTURE)
    watched = keras.Model(network.input, {name: network.get_layer(name).output for name in names})
    with tf.GradientTape() as tape:
        outputs = watched(np.stack(squares)[..., None] / np.float32(127.5) - 1)
        p = outputs[FRACTURE][:, 0]
        logit = tf.math.log(p / (1 - p))
    slope = tape.gradient(logit, outputs["whole_relu2"]).numpy()
    heat = np.maximum((outputs["whole_relu2"].numpy() * slope.mean(axis=(1, 2), keepdims=True)).sum(-1), 0)
    expected = heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-9)
    assert head.kernel.shape[1] == 1
    assert np.allclose(grad_cam(network, squares), expected, atol=1e-3)
    assert WHERE in network.output
