"""Radiographs in, predictions out: what the worker holds one of. Set up once, run many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.bundle import CHECK, WEIGHTS, Bundle, Calibration, Thresholds, read_bundle
from model.image import Radiograph
from model.letterbox import Letterbox, to_input
from model.network import FRACTURE, WHERE, build
from model.radiograph_check import RadiographCheck
from model.regions import Region, find_regions, spread_heat
from model.weights import read_weights

if TYPE_CHECKING:
    import keras

LARGEST_BATCH = 8
"""Radiographs that the network sees at once; more are no faster on a CPU and take more memory."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of one radiograph.

    `finding` is fracture, no_fracture or indeterminate (between the bundle's thresholds). `probability` is
    calibrated. `regions` is empty for no_fracture. `heat` is float32 (small height, small width) in 0..1 over
    the whole submitted image, its letter-box cut off. `model` is name and version, for the overlay's caption.
    """

    finding: str
    probability: float
    regions: tuple[Region, ...]
    heat: np.ndarray
    model: str


class Classifier:
    """A loaded bundle. `predict` may be called from one thread at a time."""

    def __init__(self, bundle: Bundle, network: keras.Model, check: RadiographCheck) -> None:
        """Hold a network that carries the bundle's weights; see `load`."""
        import tensorflow as tf

        described = bundle.description
        self.name, self.version, self.sha256 = described.name, described.version, bundle.sha256
        self.input_size = described.input_size
        self._description = described
        self._check = check
        shape = (None, self.input_size, self.input_size, 1)
        # One trace for every size of batch; without the signature each new size would take seconds.
        self._run = tf.function(
            lambda x: network(x, training=False), input_signature=[tf.TensorSpec(shape, tf.float32)]
        )

    @classmethod
    def load(cls, folder: Path, progress: Callable[[str], object] = lambda _: None) -> Classifier:
        """Verify the bundle, fill the network, run it once; BundleRefused if it does not fit."""
        bundle = read_bundle(folder)
        described = bundle.description
        progress(f"building {described.backbone} for {described.input_size} x {described.input_size} pixels")
        network = build(described.input_size, described.backbone)
        progress("loading the weights")
        read_weights(folder / WEIGHTS, network)
        check = RadiographCheck.from_json((folder / CHECK).read_text(encoding="utf-8"))
        classifier = cls(bundle, network, check)
        progress("warming up")
        for size in (1, LARGEST_BATCH):
            classifier._scores(np.zeros((size, described.input_size, described.input_size, 1), np.float32))
        return classifier

    def refuse_unless_radiograph(self, radiograph: Radiograph) -> None:
        """Raise NotARadiograph, with a detail for the sender, unless it looks like an X-ray."""
        self._check.refuse_unless_radiograph(radiograph)

    def predict(self, radiographs: Sequence[Radiograph]) -> list[Prediction]:
        """Predict for any number of radiographs, in their order."""
        return [
            prediction
            for start in range(0, len(radiographs), LARGEST_BATCH)
            for prediction in self._predict_batch(radiographs[start : start + LARGEST_BATCH])
        ]

    def _predict_batch(self, radiographs: Sequence[Radiograph]) -> list[Prediction]:
        scores, cells = self._scores(
            np.stack([to_input(radiograph.pixels, self.input_size) for radiograph in radiographs])
        )
        return [
            self._say(radiograph, score, where)
            for radiograph, score, where in zip(radiographs, scores, cells, strict=True)
        ]

    def _scores(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = self._run(inputs)
        return outputs[FRACTURE].numpy()[:, 0], outputs[WHERE].numpy()[..., 0]

    def _say(self, radiograph: Radiograph, score: float, cells: np.ndarray) -> Prediction:
        thresholds = self._description.thresholds
        probability = float(calibrate(np.array(score), self._description.calibration))
        finding = name_finding(probability, thresholds)
        place = Letterbox.of(radiograph.width, radiograph.height, self.input_size)
        size = (radiograph.width, radiograph.height)
        return Prediction(
            finding=finding,
            probability=probability,
            regions=() if finding == "no_fracture" else find_regions(cells, thresholds.region, place, size),
            heat=spread_heat(cells, place),
            model=f"{self.name} {self.version}",
        )


def calibrate(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Turn the network's scores, 0..1, into probabilities."""
    clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    logits = np.log(clipped / (1 - clipped)) / calibration.temperature + calibration.bias
    return 1 / (1 + np.exp(-logits))


def name_finding(probability: float, thresholds: Thresholds) -> str:
    """Say fracture, no_fracture or, between the thresholds, indeterminate."""
    if probability >= thresholds.high:
        return "fracture"
    return "no_fracture" if probability < thresholds.low else "indeterminate"
