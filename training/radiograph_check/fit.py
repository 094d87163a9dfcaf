"""Fits and measures `model.radiograph_check` on a network's features, for `training.fit_check`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from model.network import FEATURE_COUNT
from model.radiograph_check import RadiographCheck
from training.evaluation.intervals import mean_with_interval
from training.radiograph_check.pictures import Amounts, Pictures, Xrays, gather
from training.radiograph_check.stored_features import StoredFeatures

METRICS = "radiograph_check_metrics.json"
FITTED_FOR = "network"
"""Names in these metrics the fingerprint of the network, so that no later one of the run gets the check."""
_MAX_CHROMA, _MIN_CONTRAST = 0.10, 4.0
_RIDGE = 0.1
_FOLDS = 5
_REFUSED_XRAYS, _DOUBTFUL_XRAYS = 0.001, 0.01
"""The limits lie at these shares of the X-rays. An X-ray refused is worse than a photograph analysed."""
NO_CHECK = RadiographCheck((0.0,) * FEATURE_COUNT, 0.0, -1.0, -1.0, _MAX_CHROMA, _MIN_CONTRAST)
"""Of a network for which none was fitted: colour and blank pictures are refused, nothing else is doubted."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Features (n, FEATURE_COUNT) of pictures, group and source of each, and whether it was reduced."""

    features: np.ndarray
    groups: np.ndarray
    sources: np.ndarray
    reduced: np.ndarray


def fit(xrays: Seen, others: Seen) -> RadiographCheck:
    """Fit a ridge logistic regression on the features of both, both counting alike, and its limits.

    The limits come from X-rays that were not reduced, each scored by a fit on other groups: a fit on
    thousands of features tells its own X-rays from the others too well. Refusal takes the lowest limit of all
    sources, so that the X-rays of a small source are no more often refused than those of a large one.
    """
    x = np.vstack([xrays.features, others.features]).astype(np.float64)
    is_xray = np.repeat([1, 0], [len(xrays.groups), len(others.groups)])
    groups = np.concatenate([xrays.groups, others.groups])
    scores = np.empty(len(x))
    for learned, held in StratifiedGroupKFold(_FOLDS).split(x, is_xray, groups):
        coefficients, intercept = _regress(x[learned], is_xray[learned])
        scores[held] = x[held] @ coefficients + intercept
    usual, sources = scores[: len(xrays.groups)][~xrays.reduced], xrays.sources[~xrays.reduced]
    refused = min(
        np.quantile(usual[sources == source], _REFUSED_XRAYS, method="lower") for source in np.unique(sources)
    )
    doubtful = np.quantile(usual, _DOUBTFUL_XRAYS, method="lower")
    coefficients, intercept = _regress(x, is_xray)
    return RadiographCheck(
        coefficients=tuple(float(value) for value in coefficients),
        intercept=intercept,
        refused=float(refused),
        doubtful=float(doubtful),
        max_chroma=_MAX_CHROMA,
        min_contrast=_MIN_CONTRAST,
    )


def _regress(x: np.ndarray, is_xray: np.ndarray) -> tuple[np.ndarray, float]:
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-3)
    model = LogisticRegression(C=_RIDGE, class_weight="balanced", max_iter=3000)
    model.fit((x - mean) / scale, is_xray)
    coefficients = model.coef_[0] / scale
    return coefficients, float(model.intercept_[0] - mean @ coefficients)


def fit_and_measure(
    network: StoredFeatures,
    size: int,
    parts: Mapping[str, Xrays],
    photographs: Sequence[Path],
    other_xrays: Sequence[Path],
    amounts: Amounts,
) -> tuple[RadiographCheck, dict[str, Any]]:
    """Fit on X-rays of the training part and most kinds of photographs; measure on all that is kept apart.

    `size` is that of the network's input; `parts` has path, group and source of each X-ray. Half of the other
    X-rays are fitted on, the other half is measured by itself. Of the validation part each source is measured
    by itself as well, where there are several. StepRefused where an archive cannot be read.
    """
    gathered = gather(size, parts, photographs, other_xrays, amounts)

    def see(name: str, pictures: Pictures) -> Seen:
        features = network.of(name, pictures.squares)
        return Seen(features, pictures.groups, pictures.sources, pictures.reduced)

    check = fit(see("X-rays fitted on", gathered.xrays), see("others fitted on", gathered.others))

    def passing(scores: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
        return {
            "refused": asdict(mean_with_interval(scores < check.refused, groups)),
            "doubted": asdict(mean_with_interval(scores < check.doubtful, groups)),
        }

    measured = {}
    for name, pictures in gathered.measured.items():
        seen = see(name, pictures)
        scores = seen.features.astype(np.float64) @ np.array(check.coefficients) + check.intercept
        measured[name] = passing(scores, seen.groups)
        if name == "xrays" and len(sources := np.unique(seen.sources)) > 1:
            for source in sources:
                among = seen.sources == source
                measured[f"xrays of {source}"] = passing(scores[among], seen.groups[among])
    return check, measured
