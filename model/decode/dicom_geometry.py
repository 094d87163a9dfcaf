"""Reads from a DICOM header how much larger its image shows a patient: a number within its range."""

from math import isfinite
from typing import Any

from pydicom import Dataset

_MOST_MAGNIFICATION = 5.0


def geometry_of(header: Dataset) -> dict[str, Any]:
    """Read the known numbers; one that is damaged or out of range is left out.

    `magnification` is what lengths on the detector are divided by, to get those in the patient.
    """
    try:
        magnification = float(header.get("EstimatedRadiographicMagnificationFactor") or "nan")
    except (TypeError, ValueError, OverflowError):
        return {}
    inside = isfinite(magnification) and 1.0 <= magnification <= _MOST_MAGNIFICATION
    return {"magnification": magnification} if inside else {}
