"""Fits and measures `model.radiograph_check` on a network's features, for `training.fit_check`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from model.decode.image import decode
from model.letterbox import to_square
from model.network import FEATURE_COUNT
from model.radiograph_check import RadiographCheck
from model.synthetic import draw_forearm
from training.data.other_pictures import draw_page, read_some
from training.data.split import TRAIN, VALIDATION
from training.evaluation.intervals import mean_with_interval
from training.evaluation.perturbations import as_delivered

METRICS = "radiograph_check_metrics.json"


_XRAYS, _DRAWINGS, _PAGES = 600, 40, 80
"""How many are fitted on: X-rays of the training part, drawn radiographs, drawn pages of text."""


_PER_ARCHIVE, _OTHER_XRAYS = 300, 200


_MAX_CHROMA, _MIN_CONTRAST = 0.10, 4.0


_REFUSED_XRAYS, _DOUBTFUL_XRAYS = 0.001, 0.01


_MARGIN = 0.25
"""The refusal lies lower than the X-rays that were fitted on by this share of the way to the photographs."""


_HELD_OUT = 5


NO_CHECK = RadiographCheck((0.0,) * FEATURE_COUNT, 0.0, -1.0, -1.0, _MAX_CHROMA, _MIN_CONTRAST)
"""Of a network for which none was fitted: colour and blank pictures are refused, nothing else is doubted."""


class Network(Protocol):
    """The network that the check is fitted for."""

    def features_of(self, name: str, squares: Sequence[np.ndarray]) -> np.ndarray:
        """Make what the network sees of squares, float32 (n, FEATURE_COUNT); `name` says which they are."""


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Features (n, FEATURE_COUNT) of pictures; the group of each, a patient's or a kind of photograph."""

    features: np.ndarray
    groups: np.ndarray


def fit(xrays: np.ndarray, others: np.ndarray) -> RadiographCheck:
    """Fit a ridge logistic regression on features (n, FEATURE_COUNT) of both, both counting alike."""
    x = np.vstack([xrays, others])
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-3)
    model = LogisticRegression(C=3e-4, class_weight="balanced", max_iter=2000)
    model.fit((x - mean) / scale, np.repeat([1, 0], [len(xrays), len(others)]))
    coefficients = model.coef_[0] / scale
    intercept = float(model.intercept_[0] - mean @ coefficients)
    scores = xrays @ coefficients + intercept
    lowest = float(np.quantile(scores, _REFUSED_XRAYS))
    middle = float(np.median(others @ coefficients + intercept))
    return RadiographCheck(
        coefficients=tuple(float(value) for value in coefficients),
        intercept=intercept,
        refused=lowest + _MARGIN * (min(middle, lowest) - lowest),
        doubtful=float(np.quantile(scores, _DOUBTFUL_XRAYS)),
        max_chroma=_MAX_CHROMA,
        min_contrast=_MIN_CONTRAST,
    )


def fit_and_measure(
    network: Network,
    size: int,
    parts: Mapping[str, Sequence[tuple[Path, str]]],
    photographs: Sequence[Path],
    other_xrays: Sequence[Path],
) -> tuple[RadiographCheck, dict[str, Any]]:
    """Fit on the training part and on four fifths of the photographs' kinds; measure on the others.

    `size` is that of the network's input; `parts` has the path and the group of each X-ray.

    Half of the X-rays are fitted on and measured as they are delivered elsewhere (perturbations).
    Half of the other X-rays are fitted on, the other half is measured by itself.
    """
    pictures, kinds = read_some(photographs, _PER_ARCHIVE)

    def features_of(name: str, pictures: Sequence[np.ndarray]) -> np.ndarray:
        return network.features_of(name, [to_square(pixels, size) for pixels in tqdm(pictures, name)])

    learned = _read_xrays(parts[TRAIN], _XRAYS)
    drawings = [draw_forearm(seed, fracture=seed % 2 == 0).pixels for seed in range(_DRAWINGS)]
    pages = [draw_page(seed) for seed in range(_PAGES)]
    photos = _Pictures(features_of("check photographs", pictures), kinds)
    names = np.unique(kinds)
    unseen = np.isin(kinds, np.random.default_rng(20261128).permutation(names)[: len(names) // _HELD_OUT])
    paged = features_of("check pages", pages)
    half = len(paged) // 2
    elsewhere = (
        features_of("check other X-rays", read_some(other_xrays, _OTHER_XRAYS)[0]) if other_xrays else None
    )
    check = fit(
        np.vstack(
            [
                features_of("check X-rays", [pixels for pixels, _ in learned]),
                features_of("check drawings", drawings),
                *([] if elsewhere is None else [elsewhere[::2]]),
            ]
        ),
        np.vstack([photos.features[~unseen], paged[:half]]),
    )
    held = _read_xrays(parts[VALIDATION], None)
    x_out = _Pictures(
        features_of("check X-rays held out", [pixels for pixels, _ in held]),
        np.array([group for _, group in held]),
    )

    def passing(features: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Any]:
        scores = features @ np.array(check.coefficients) + check.intercept
        groups = np.arange(len(scores)).astype(str) if groups is None else groups
        return {
            "refused": asdict(mean_with_interval(scores < check.refused, groups)),
            "doubted": asdict(mean_with_interval(scores < check.doubtful, groups)),
        }

    measured = {
        "xrays": passing(x_out.features, x_out.groups),
        "photographs": passing(photos.features[unseen], kinds[unseen]),
        "pages": passing(paged[half:]),
    }
    if elsewhere is not None:
        measured["other_xrays"] = passing(elsewhere[1::2])
    return check, measured


def _read_xrays(xrays: Sequence[tuple[Path, str]], most: int | None) -> list[tuple[np.ndarray, str]]:
    """Read X-rays with their groups; every second one as it is delivered elsewhere."""
    order = np.random.default_rng(20261128).permutation(len(xrays))[:most]
    read = []
    for number, (path, group) in enumerate(xrays[i] for i in order):
        pixels = decode(path.read_bytes()).pixels
        read.append((as_delivered(pixels, number) if number % 2 else pixels, group))
    return read
