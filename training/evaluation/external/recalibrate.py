"""Fits calibration and thresholds to a place, measures them on X-rays not fitted on, and bundles them."""

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from model.bundle import CARD, MEASURED, Bundle, Calibration, Thresholds, read_metrics
from model.classifier import calibrate
from training.data.known_xrays import FILE as KNOWN
from training.data.known_xrays import KnownXrays
from training.evaluation.calibration import fit_calibration
from training.evaluation.external.site import Site
from training.evaluation.figures import Calls
from training.evaluation.least_size import mark, mark_small
from training.evaluation.report import REPORT
from training.evaluation.sample import Sample
from training.evaluation.thresholds import choose_thresholds
from training.run.changed_bundle import write_changed
from training.run.errors import StepRefused

FOLDS = 5
_SITE_LENGTH = 30


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """A calibration and thresholds for a place, fitted on all of its X-rays that were answered.

    `sample` and `calls` are what is measured: each X-ray's probability and calls come from a fit on the
    groups of the other folds.
    """

    calibration: Calibration
    thresholds: Thresholds
    sample: Sample
    calls: Calls


def recalibrate(site: Site, bundle: Bundle) -> Recalibrated:
    """Cross-fit to a place; StepRefused where its groups cannot be divided.

    The threshold of regions stays the bundle's own.
    """
    scores, plain = site.scores, site.transported(bundle)
    region = bundle.description.thresholds.region
    probabilities = np.zeros(len(scores))
    at_low, at_high = np.zeros(len(scores), bool), np.zeros(len(scores), bool)
    for learned, held in _folds(plain):
        calibration, thresholds = _fit(scores[learned], plain.labels[learned], region)
        probabilities[held] = calibrate(scores[held], calibration)
        calls = Calls.of(probabilities[held], thresholds)
        at_low[held], at_high[held] = calls.at_low, calls.at_high
    calibration, thresholds = _fit(scores, plain.labels, region)
    return Recalibrated(calibration, thresholds, site.sample(probabilities), Calls(at_low, at_high))


def _folds(sample: Sample) -> list[tuple[np.ndarray, np.ndarray]]:
    for label, name in ((True, "fractured"), (False, "intact")):
        if (count := len(np.unique(sample.groups[sample.labels == label]))) < FOLDS:
            raise StepRefused(
                f"the {name} X-rays are of {count} groups; to recalibrate, and to measure that on other "
                f"groups, takes {FOLDS}"
            )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(folds.split(sample.labels, sample.labels, sample.groups))


def _fit(scores: np.ndarray, labels: np.ndarray, region: float) -> tuple[Calibration, Thresholds]:
    calibration = fit_calibration(scores, labels)
    low, high = choose_thresholds(calibrate(scores, calibration), labels)
    return calibration, Thresholds(low, high, region)


def write_recalibrated(
    folder: Path,
    bundle: Bundle,
    fitted: Recalibrated,
    provenance: dict[str, Any],
    figures: dict[str, Any],
    section: str,
    report: str,
    known: KnownXrays,
) -> Bundle:
    """Write the bundle with the place's calibration and thresholds, its card and its report.

    `known` are the X-rays that the bundle knew, and those of the place.
    `figures` are those of the new thresholds, and take the place of the old ones, which stay as `as_trained`.
    """
    old = bundle.description
    version = mark_small(mark(old.version, _word(provenance["folders"])), provenance["fixed_on"])
    now = {"test": figures["test"], "fixed_on": provenance["fixed_on"]}
    description = replace(
        old,
        version=version,
        calibration=fitted.calibration,
        thresholds=fitted.thresholds,
        metrics=old.metrics | _moved(old.metrics, now) | {"recalibrated": provenance},
    )
    fixed = {
        "calibration": asdict(fitted.calibration),
        "thresholds": asdict(fitted.thresholds),
        "fixed_on": provenance["fixed_on"],
        **figures,
    }
    measured = read_metrics(bundle)
    heading, _, card = (bundle.folder / CARD).read_text(encoding="utf-8").partition("\n")
    texts = {
        CARD: f"# {old.name} {version}\n\n{section}\n{heading}\n{card}",
        MEASURED: json.dumps(measured | _moved(measured, fixed) | {"recalibrated": provenance}, indent=2)
        + "\n",
        REPORT: report,
    }
    return write_changed(folder, bundle, description, texts, {KNOWN: known.write})


def _moved(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the new figures and, as `as_trained`, the figures of training's evaluation."""
    replaced = {name: old[name] for name in new if name in old}
    return new | {"as_trained": old.get("as_trained", replaced)}


def _word(folders: list[str]) -> str:
    """Make a word of a version's build metadata out of the folders' names."""
    return re.sub(r"[^0-9A-Za-z]+", "-", "-".join(folders)).strip("-")[:_SITE_LENGTH].strip("-") or "site"
