"""Prepares the model's answer for the viewer: with both operating points, and what they mean."""

from typing import Any

from jobs.record.errors import NotStored
from jobs.store.objects import Objects
from jobs.store.served_model import served_model

_MEANINGS = {
    "low": "Below this probability the model says: no fracture.",
    "high": "From this probability on the model says: fracture.",
}
"""For a result of a model that is served no more."""


def shown_answer(result: dict[str, Any], objects: Objects) -> dict[str, Any] | None:
    """Return a result as the viewer shows it. Its `operating_points` have name, threshold and meaning.

    None for a result of an old version, which has no operating points, before any worker has started.
    """
    points = _points(result, objects)
    return {**result, "operating_points": points} if points else None


def _points(result: dict[str, Any], objects: Objects) -> list[dict[str, Any]]:
    try:
        served = served_model(objects)
    except NotStored:
        served = {"sha256": None, "operating_points": []}
    # Those of the model that is served now come closest to those of an old version.
    # Another bundle may have the same weights and other thresholds.
    own = result.get("operating_points")
    meanings = _MEANINGS
    if own is None or served["sha256"] == result["model"]["sha256"]:
        meanings = {point["name"]: _for_people(point["meaning"]) for point in served["operating_points"]}
    thresholds = own or {point["name"]: point["threshold"] for point in served["operating_points"]}
    return [{"name": name, "threshold": thresholds[name], "meaning": text} for name, text in meanings.items()]


def _for_people(meaning: str) -> str:
    """Return a meaning with the values of the JSON as words."""
    return meaning.replace("`no_fracture`", "no fracture").replace("`", "")
