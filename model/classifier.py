"""Turns radiographs into predictions: an inference worker has one Classifier, and runs it many times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from model.bundle import CHECK, Bundle, Calibration, Thresholds, read_bundle, refuse_replaced
from model.bundle_summary import describe_bundle
from model.decode.radiograph import Radiograph
from model.engines import Engine, Outputs, choose, start
from model.errors import BundleRefused
from model.image_warnings import DISPLAY, UNUSUAL_IMAGE, ImageWarning, find_warnings
from model.letterbox import Letterbox, to_input
from model.prediction import OperatingPoints, Prediction
from model.radiograph_check import RadiographCheck
from model.regions import ScoredRegion, find_regions

LARGEST_BATCH = 8
"""Radiographs that the network sees at once; more are no faster on a CPU and take more memory."""


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What the network says: the uncalibrated `score`, and `cells` (n, n), where; all in 0..1.

    `features` (FEATURE_COUNT,) are what the check for radiographs looks at.
    """

    score: float
    cells: np.ndarray
    features: np.ndarray


class Classifier:
    """A loaded bundle. `predict` and `run` may be called from one thread at a time."""

    def __init__(self, bundle: Bundle, engine: Engine, check: RadiographCheck) -> None:
        """Hold an engine that runs the bundle's network; see `load`."""
        described = bundle.description
        self.name, self.version, self.sha256 = described.name, described.version, bundle.sha256
        self.digest = bundle.digest
        self.rests_on_enough = described.rests_on_enough
        self.input_size = described.input_size
        self.engine = engine.name
        self._description = described
        self.served = describe_bundle(bundle)
        self._engine = engine
        self._check = check

    @classmethod
    def load(
        cls,
        folder: Path,
        engine: str | None = None,
        progress: Callable[[str], object] = lambda _: None,
        cache: Path | None = None,
    ) -> Self:
        """Verify the bundle, start an engine (by default the best that is installed), and try it.

        What an engine compiles for this machine is kept in the folder `cache`, if there is one.

        Raises BundleRefused where the bundle does not fit, NoEngine where the engine is not there.
        """
        bundle = read_bundle(folder)
        started = start(choose(engine, bundle), bundle, progress, cache)
        check = RadiographCheck.from_json((folder / CHECK).read_text(encoding="utf-8"))
        progress("warming up")
        size = bundle.description.input_size
        # A machine without the memory for a full batch shows it now, and not while it has X-rays.
        for batch in (1, LARGEST_BATCH):
            shape = (batch, size, size, 1)
            _check(started.run(np.linspace(0, 1, np.prod(shape), dtype=np.float32).reshape(shape)))
        # The engine has read the files again: they may be those of another bundle.
        refuse_replaced(bundle)
        return cls(bundle, started, check)

    def refuse_unless_gray(self, radiograph: Radiograph) -> None:
        """Raise NotARadiograph for a colour picture or a blank one, with a detail for the sender."""
        self._check.refuse_unless_gray(radiograph)

    def predict(self, radiographs: Sequence[Radiograph]) -> list[Prediction]:
        """Predict for any number of radiographs, in their order: `prepare`, `run` and `explain` in one.

        Raises NotARadiograph for one that is certainly none.
        """
        answers = self.run([self.prepare(radiograph) for radiograph in radiographs])
        return [self.explain(*pair) for pair in zip(radiographs, answers, strict=True)]

    def prepare(self, radiograph: Radiograph) -> np.ndarray:
        """Make the network's input of a radiograph, float32 (size, size, 1). Any thread may call this."""
        return to_input(radiograph.pixels, self.input_size, radiograph.exposed_field)

    def run(self, inputs: Sequence[np.ndarray]) -> list[NetworkOutput]:
        """Run the network on what `prepare` made, any number of it, in batches."""
        answers: list[NetworkOutput] = []
        for first in range(0, len(inputs), LARGEST_BATCH):
            outputs = self._engine.run(np.stack(inputs[first : first + LARGEST_BATCH]))
            answers += [NetworkOutput(float(score), *rest) for score, *rest in zip(*outputs, strict=True)]
        return answers

    def explain(self, radiograph: Radiograph, answer: NetworkOutput) -> Prediction:
        """Turn the network's answer into a prediction for this radiograph. Any thread may call this.

        Raises NotARadiograph where the answer says that the picture certainly is none.
        """
        unusual = (UNUSUAL_IMAGE,) if self._check.is_doubtful(answer.features) else ()
        ignored = tuple(ImageWarning(DISPLAY, sentence) for sentence in radiograph.left_out)
        described = self._description
        probability = float(calibrate(np.array(answer.score), described.calibration))
        finding = name_finding(probability, described.thresholds)
        field = radiograph.exposed_field
        regions: tuple[ScoredRegion, ...] = ()
        if finding != "no_fracture":
            place = Letterbox.of_field(field, self.input_size)
            found = find_regions(answer.cells, described.thresholds.region, place)
            regions = tuple(
                replace(region, score=probability * described.region_calibration.share(region.score))
                for region in found
            )
        return Prediction(
            finding=finding,
            probability=probability,
            regions=regions,
            cells=answer.cells,
            field=(field.left, field.top, field.width, field.height),
            model=f"{self.name} {self.version}",
            warnings=(*unusual, *ignored, *find_warnings(radiograph.pixels, field)),
            points=OperatingPoints(described.thresholds.low, described.thresholds.high),
        )


def _check(outputs: Outputs) -> None:
    """Raise BundleRefused unless the outputs are what a network of ours gives for any picture."""
    within = all(np.all((found >= 0) & (found <= 1)) for found in (outputs.scores, outputs.cells))
    if not within or not np.all(np.isfinite(outputs.features)):
        raise BundleRefused("the network gives no scores for a test picture: train the bundle again")


def calibrate(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Turn the network's scores, 0..1, into probabilities."""
    clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    logits = np.log(clipped / (1 - clipped)) / calibration.temperature + calibration.bias
    return 1 / (1 + np.exp(-logits))


def name_finding(probability: float, thresholds: Thresholds) -> str:
    """Return fracture, no_fracture or, between the thresholds, indeterminate."""
    if probability >= thresholds.high:
        return "fracture"
    return "no_fracture" if probability < thresholds.low else "indeterminate"
