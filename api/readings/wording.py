"""Puts a signed report into sentences and codes, for the formats that have these."""

from typing import Any

FINDING = {
    "fracture": "There is a fracture.",
    "no_fracture": "There is no fracture.",
    "not_sure": "It is not certain whether there is a fracture.",
    "not_diagnostic": "The radiograph allows no answer.",
}
MEASURED = {
    "length": ("410668003", "Length"),
    "angle": ("1483009", "Angle"),
    "cobb": ("285285000", "Cobb angle"),
}
"""What was measured, in SNOMED CT."""
UNITS = {"mm": "millimeter", "deg": "degree", "{pixels}": "pixels"}
"""The names of the units of UCUM."""


def impression(report: dict[str, Any]) -> str:
    """Return the finding as a sentence, whether it is urgent, and the reader's text."""
    urgent = "Urgent." if report["urgent"] else ""
    return " ".join(filter(None, (FINDING[report["finding"]], urgent, report["text"])))


def conclusion(report: dict[str, Any]) -> str:
    """Return the impression, and the reader's advice."""
    advice = f"Advice: {report['advice']}" if report["advice"] else ""
    return " ".join(filter(None, (impression(report), advice)))
