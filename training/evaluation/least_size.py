"""Refuses calibration and thresholds that rest on too few X-rays, or marks what rests on them."""

from typing import Any

import numpy as np

from training.run.errors import StepRefused

_LEAST, _LEAST_OF_A_CLASS = 100, 30
"""X-rays, and fractured as well as intact ones among them. Of 30 fractured X-rays one or two lie below a
threshold of 95 % sensitivity: fewer say nothing of where that is."""
SMALL = "small"


def describe_base(name: str, labels: np.ndarray, small: bool) -> dict[str, Any]:
    """Describe the labels, bool (n,), that thresholds rest on; StepRefused if too few, unless `small`."""
    images, fractured = len(labels), int(labels.sum())
    enough = images >= _LEAST and min(fractured, images - fractured) >= _LEAST_OF_A_CLASS
    counted = f"the {name} has {images} X-rays, {fractured} fractured"
    if not min(fractured, images - fractured):
        raise StepRefused(f"{counted}: calibration and thresholds take both kinds")
    if not enough and not small:
        raise StepRefused(
            f"{counted}; calibration and thresholds take {_LEAST} X-rays, {_LEAST_OF_A_CLASS} of them "
            f"fractured and {_LEAST_OF_A_CLASS} intact. Add X-rays, or call it with --small: the bundle's "
            f"version then ends in {SMALL}, and its card and report say why"
        )
    return {
        "name": name,
        "images": images,
        "fractured": fractured,
        "least": _LEAST,
        "least_of_a_class": _LEAST_OF_A_CLASS,
        "enough": enough,
    }


def mark_small(version: str, base: dict[str, Any]) -> str:
    """Return the version, marked where its thresholds rest on too few X-rays: every answer names it."""
    return version if base["enough"] else mark(version, SMALL)


def mark(version: str, word: str) -> str:
    """Return the version with one more word of build metadata, as Semantic Versioning 2.0 writes it."""
    return f"{version}{'.' if '+' in version else '+'}{word}"
