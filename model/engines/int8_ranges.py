"""Reads and writes the ranges of a bundle's activations, and says whether its figures allow int8 arithmetic.

`training.quantise` draws and measures them. Decision 31 has the reasons.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from model.bundle import Bundle, Description
from model.errors import BundleRefused

RANGES = "int8_ranges.json"
PARITY = "int8_arithmetic"
"""The entry of a bundle's metrics that compares int8 with float arithmetic."""
GOALS = {
    "auc_loss": ("high", 0.002),
    "findings_changed_beyond": ("value", 0.005),
    "regions_moved": ("value", 0.005),
    "checks_changed": ("value", 0.005),
}
"""The most that a figure may be: of the AUC the upper end of its interval, of all others the value."""
_FORMAT = 1
_LARGEST_FILE = 1 << 20


def has_ranges(bundle: Bundle) -> bool:
    """Whether the bundle's network can run in int8."""
    return RANGES in bundle.files


def read_ranges(bundle: Bundle) -> dict[str, float]:
    """Read the largest input value of each convolution that runs in int8, by the convolution's name.

    Raises BundleRefused where the file is missing or does not have that.
    """
    path = bundle.folder / RANGES
    if not has_ranges(bundle):
        raise BundleRefused(f"{path} is missing; draw it by python -m training.quantise")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("it is too large")
        written = json.loads(path.read_bytes())
        if written["format"] != _FORMAT:
            raise ValueError(f"format {written['format']}, not {_FORMAT}")
        ranges = {str(name): float(value) for name, value in written["ranges"].items()}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise BundleRefused(f"{path} is damaged ({error}); fetch the bundle again") from error
    if not ranges or not all(math.isfinite(value) and value > 0 for value in ranges.values()):
        raise BundleRefused(f"{path} has no range, or one that is not above zero; fetch the bundle again")
    return ranges


def write_ranges(ranges: Mapping[str, float], drawn: Mapping[str, Any]) -> str:
    """Write what `read_ranges` reads; `drawn` says of which X-rays the ranges are."""
    rounded = {name: float(f"{value:.6g}") for name, value in ranges.items()}
    return json.dumps({"format": _FORMAT, "drawn": dict(drawn), "ranges": rounded}, indent=1) + "\n"


def answered_by(description: Description) -> dict[str, Any]:
    """Name what turns scores into answers: figures of parity are of these values, and of no others."""
    return {
        name: asdict(getattr(description, name))
        for name in ("calibration", "thresholds", "region_calibration")
    }


def meets_goals(description: Description) -> bool:
    """Whether the bundle's own figures meet every goal, and are of the thresholds that it has now."""
    figures = description.metrics.get(PARITY, {})
    try:
        return figures["answered_by"] == answered_by(description) and not missed_goals(figures)
    except (KeyError, TypeError):
        return False


def measured_in_16_bits(description: Description) -> bool:
    """Whether the figures are of a processor that adds pairs of products in 16 bits."""
    measured_on = description.metrics[PARITY].get("measured_on", {})
    return measured_on.get("sums_in_16_bits") is True


def missed_goals(figures: Mapping[str, Any]) -> list[str]:
    """Name the goals that the figures miss; what could not be measured misses its goal."""
    return [
        name
        for name, (end, most) in GOALS.items()
        if figures[name][end] is None or not figures[name][end] <= most
    ]
