"""Puts a signed report into sentences, for the formats that have text."""

from typing import Any

FINDING = {
    "fracture": "There is a fracture.",
    "no_fracture": "There is no fracture.",
    "not_sure": "It is not certain whether there is a fracture.",
    "not_diagnostic": "The radiograph allows no answer.",
}


def impression(report: dict[str, Any]) -> str:
    """Return the finding as a sentence, whether it is urgent, and the reader's text."""
    urgent = "Urgent." if report["urgent"] else ""
    return " ".join(filter(None, (FINDING[report["finding"]], urgent, report["text"])))


def conclusion(report: dict[str, Any]) -> str:
    """Return the impression, and the reader's advice."""
    advice = f"Advice: {report['advice']}" if report["advice"] else ""
    return " ".join(filter(None, (impression(report), advice)))
