"""Turns a finished run into a bundle: `python -m training.export`, after `train` and `fit_check`.

Calibration and thresholds are fixed on the validation part; only then is the test part opened, once.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from model.bundle import CARD, CHECK, Calibration, Description, Thresholds, write_bundle
from model.classifier import calibrate
from model.letterbox import Letterbox, scale_pixels
from model.network import FRACTURE, STRIDE, WHERE, build
from model.regions import find_regions
from model.weights import read_weights, write_weights
from training import fit_check
from training.augment import cells, draw_boxes
from training.calibration import fit_calibration, high_threshold, low_threshold, region_threshold
from training.card import write_card
from training.checkpoint import Position, position_of, restore
from training.config import Config, read_config
from training.examples import Example, read_examples, read_labels
from training.measures import Measure, auc, share, with_interval
from training.split import split_by_group
from training.train import CHECKPOINT, arguments, limit_threads

if TYPE_CHECKING:
    import keras

NAME = "osteo-resnet152v2"
DATA = (
    "FracAtlas (Abedeen et al., Scientific Data 10, 521, 2023; CC-BY 4.0), "
    "without its truncated images and those kept apart for the final measurement"
)
LICENCE = "CC-BY 4.0, as the data it was trained on"


@dataclass(frozen=True, eq=False)
class Scored:
    """One part of the data with what the network says: `scores` (n,), `where` (n, h, w), both in 0..1."""

    examples: Sequence[Example]
    scores: np.ndarray
    where: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Whether each image is fractured, bool (n,)."""
        return np.array([example.fractured for example in self.examples])

    @property
    def groups(self) -> np.ndarray:
        """The group of each image, str (n,)."""
        return np.array([example.group for example in self.examples])


def export(config: Config, data: Path, out: Path, bundle: Path) -> None:
    """Measure the run in `out` and write it to the folder `bundle`; ValueError if it is not finished."""
    end = Position(len(config.phases) - 1, config.phases[-1].steps)
    if position_of(out / CHECKPOINT, config.fingerprint) != end:
        raise ValueError(f"the run in {out} is not finished; run training.train first")
    parts = _read_parts(config, data)
    exact = build(config.input_size, config.backbone)
    restore(out / CHECKPOINT, exact)
    stored = build(config.input_size, config.backbone)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        write_weights(weights, exact)
        read_weights(weights, stored)
    validation = score(stored, parts["validation"])
    calibration = fit_calibration(validation.scores, validation.labels)
    thresholds = fix_thresholds(validation, calibration, config.input_size)

    test = score(stored, parts["test"])
    measures = measure(test, calibration, thresholds, config.input_size)
    rounding = _rounding_effect(test, score(exact, parts["test"]), calibration)
    check = json.loads((out / fit_check.METRICS).read_text(encoding="utf-8"))
    metrics: dict[str, Any] = {
        "test": {name: asdict(value) for name, value in measures.items()},
        "int8_against_float32": rounding,
        "radiograph_check": check,
    }
    description = Description(
        name=NAME,
        version=config.version,
        backbone=config.backbone,
        input_size=config.input_size,
        thresholds=thresholds,
        calibration=calibration,
        metrics=metrics,
        data=DATA,
        licence=LICENCE,
    )
    texts = {
        CHECK: (out / fit_check.CHECK).read_text(encoding="utf-8"),
        CARD: write_card(description, config, measures, validation.labels, test.labels),
    }
    write_bundle(bundle, description, lambda path: write_weights(path, exact), texts)


def score(network: keras.Model, examples: Sequence[Example]) -> Scored:
    """Run the network over examples whose squares have its input size."""
    squares = np.stack([example.square for example in examples])
    outputs = network.predict(scale_pixels(squares), batch_size=8, verbose=0)
    return Scored(examples, outputs[FRACTURE][:, 0], outputs[WHERE][..., 0])


def fix_thresholds(validation: Scored, calibration: Calibration, input_size: int) -> Thresholds:
    """Choose all thresholds on the validation part."""
    probabilities, labels = calibrate(validation.scores, calibration), validation.labels
    high = high_threshold(probabilities, labels)
    # A model so good that the two cross has no indeterminate range.
    low = min(low_threshold(probabilities, labels), high)
    truth = np.stack([cells(np.asarray(draw_boxes(e)), input_size)[..., 0] > 0 for e in validation.examples])
    return Thresholds(low=low, high=high, region=region_threshold(validation.where, truth))


def measure(
    test: Scored, calibration: Calibration, thresholds: Thresholds, input_size: int
) -> dict[str, Measure]:
    """Measure what the card states, each with its interval over groups."""
    probabilities, labels, groups = calibrate(test.scores, calibration), test.labels, test.groups
    at_low, at_high = probabilities >= thresholds.low, probabilities >= thresholds.high
    hit = np.array(
        [_hits(e, w, thresholds.region, input_size) for e, w in zip(test.examples, test.where, strict=True)]
    )
    bare = ~np.array([example.hardware for example in test.examples])
    hands = np.array([example.region == "hand" for example in test.examples])

    def auc_among(some: np.ndarray) -> Measure:
        kept = np.flatnonzero(some)
        return with_interval(lambda i: auc(probabilities[kept][i], labels[kept][i]), groups[kept], len(kept))

    def share_of(marked: np.ndarray, among: np.ndarray) -> Measure:
        return with_interval(lambda i: share(marked[i], among[i]), groups, int(among.sum()))

    everything = np.ones_like(labels)
    return {
        "auc": auc_among(everything),
        "auc_without_hardware": auc_among(bare),
        "auc_hands_only": auc_among(hands),
        "sensitivity_at_low": share_of(at_low, labels),
        "specificity_at_low": share_of(~at_low, ~labels),
        "sensitivity_at_high": share_of(at_high, labels),
        "specificity_at_high": share_of(~at_high, ~labels),
        "indeterminate": share_of(at_low & ~at_high, everything),
        "region_hits_a_fracture": share_of(hit, labels),
        "brier": with_interval(
            lambda i: float(((probabilities[i] - labels[i]) ** 2).mean()), groups, len(labels)
        ),
    }


def _hits(example: Example, where: np.ndarray, threshold: float, input_size: int) -> bool:
    """Whether the best region's centre lies in a fracture's box, widened by half a cell on each side."""
    place = Letterbox.of(input_size, input_size, input_size)
    regions = find_regions(where, threshold, place, (input_size, input_size))
    if not regions:
        return False
    x, y, w, h = regions[0].box
    middle_x, middle_y, slack = x + w / 2, y + h / 2, STRIDE / 2
    return any(
        bx - slack <= middle_x <= bx + bw + slack and by - slack <= middle_y <= by + bh + slack
        for bx, by, bw, bh in example.boxes
    )


def _rounding_effect(rounded: Scored, exact: Scored, calibration: Calibration) -> dict[str, float]:
    p, q = calibrate(rounded.scores, calibration), calibrate(exact.scores, calibration)
    return {
        "largest_change_of_probability": float(np.abs(p - q).max()),
        "mean_change_of_probability": float(np.abs(p - q).mean()),
        "change_of_auc": auc(p, rounded.labels) - auc(q, exact.labels),
        "n": len(p),
    }


def _read_parts(config: Config, data: Path) -> dict[str, list[Example]]:
    rows = read_labels(data)
    part_of = split_by_group(rows, config.seed)

    def read(part: str) -> list[Example]:
        wanted = [row for row in rows if part_of[row["image"]] == part]
        return read_examples(
            data, wanted, config.input_size, lambda rows: tqdm(rows, f"reading {part}", unit="image")
        )

    return {part: read(part) for part in ("validation", "test")}


def main() -> None:
    """Run `python -m training.export`."""
    parser = arguments("Write a finished run as a bundle.")
    parser.add_argument(
        "--bundle", type=Path, default=Path("model/bundle"), help="folder to write or replace"
    )
    options = parser.parse_args()
    config = read_config(options.config)
    limit_threads(config.threads)
    export(config, options.data, options.out, options.bundle)


if __name__ == "__main__":
    main()
