"""Fits `model.radiograph_check` on X-rays against gray photographs: `python -m training.fit_check`.

Writes radiograph_check.json, which `training.evaluate` puts into the bundle, and how it was measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from model.bundle import CHECK
from model.image import decode
from model.radiograph_check import RadiographCheck, features
from model.synthetic import draw_forearm
from training.evaluation.intervals import mean_with_interval
from training.examples import entries_of
from training.photographs import Photographs, read_photographs
from training.refused import told_plainly
from training.split import TRAIN, VALIDATION, read_split
from training.whole_file import write_json

METRICS = "radiograph_check_metrics.json"
_PASSING = 0.998
"""X-rays of the fitting part that must pass; held-out ones then stay above 99.5 %."""
_PHOTOGRAPHS, _DRAWINGS = 20_000, 60
_HELD_OUT = 5
_MAX_CHROMA, _MIN_CONTRAST = 0.10, 4.0


def fit(xrays: np.ndarray, photographs: np.ndarray, ridge: float = 1.0) -> RadiographCheck:
    """Fit by Newton's method on (n, features) of either kind, both kinds counting alike."""
    x = np.vstack([xrays, photographs])
    y = np.repeat([1.0, 0.0], [len(xrays), len(photographs)])
    weight = np.where(y == 1, len(y) / len(xrays), len(y) / len(photographs)) / 2
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    design = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    penalty = ridge * np.diag([1.0] * x.shape[1] + [0.0])
    beta = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        slope = design.T @ (weight * (y - p)) - penalty @ beta
        curvature = design.T @ (design * (weight * p * (1 - p))[:, None]) + penalty
        beta += np.linalg.solve(curvature, slope)
    scores = design[: len(xrays)] @ beta
    threshold = float(np.quantile(scores, 1 - _PASSING))
    return RadiographCheck(
        tuple(mean), tuple(scale), tuple(beta[:-1]), float(beta[-1]), threshold, _MAX_CHROMA, _MIN_CONTRAST
    )


def _xrays(run: Path, part: str) -> Iterator[np.ndarray]:
    for entry in entries_of(run, part):
        yield decode((run / entry.image).read_bytes()).pixels


def _drawings() -> Iterator[np.ndarray]:
    for seed in range(_DRAWINGS):
        yield draw_forearm(seed, fracture=seed % 2 == 0).pixels


def _measure(pictures: Iterable[np.ndarray], told: str) -> np.ndarray:
    return np.array([features(pixels) for pixels in tqdm(pictures, told, unit="image")])


def fit_and_measure(run: Path, photographs: Photographs) -> tuple[RadiographCheck, dict[str, Any]]:
    """Fit on the run's training part and four fifths of the photographs' classes; measure on the others.

    X-rays are held out by the validation part: the test part stays shut.
    """
    random = np.random.default_rng(20261123)
    chosen = np.sort(random.permutation(len(photographs.classes))[:_PHOTOGRAPHS])
    vectors = _measure(photographs.pixels[chosen], "photographs")
    unseen = random.permutation(photographs.class_count)[: photographs.class_count // _HELD_OUT]
    p_out = np.isin(photographs.classes[chosen], unseen)
    learned = _measure([*_xrays(run, TRAIN), *_drawings()], "X-rays to fit")
    x_out = _measure(_xrays(run, VALIDATION), "X-rays held out")
    split = read_split(run)
    groups = np.array([split[entry.image][0] for entry in entries_of(run, VALIDATION)])
    check = fit(learned, vectors[~p_out])

    def passing(vectors: np.ndarray) -> np.ndarray:
        standard = (vectors - np.array(check.mean)) / np.array(check.scale)
        return standard @ np.array(check.coefficients) + check.intercept >= check.threshold

    def share(marked: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
        return asdict(mean_with_interval(marked, groups))

    return check, {
        "xrays_passing": share(passing(x_out), groups),
        "photographs_refused": share(~passing(vectors[p_out]), photographs.classes[chosen][p_out]),
    }


def main() -> None:
    """Run `python -m training.fit_check`."""
    parser = argparse.ArgumentParser(description="Fit the check that a picture is a radiograph.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--photographs", type=Path, default=Path("../shared/data/tiny-imagenet-gray"))
    options = parser.parse_args()
    with told_plainly("fit_check"):
        check, metrics = fit_and_measure(options.run, read_photographs(options.photographs))
    (options.run / CHECK).write_text(check.to_json(), encoding="utf-8")
    write_json(options.run / METRICS, metrics)
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
