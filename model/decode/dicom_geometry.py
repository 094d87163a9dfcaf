"""Reads from a DICOM header where tube and detector stood, and when: numbers only, each within its range."""

import re
from datetime import UTC, datetime, timedelta, timezone
from math import isfinite, radians
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue

_LONGEST_MM = 5_000.0
_MOST_MAGNIFICATION = 5.0
_SPACING_MM = (0.01, 5.0)
_TIME = re.compile(r"(\d{14})(?:\.(\d{1,6}))?([+-]\d{4})?")
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})")
_YEARS = range(2000, 2100)


def geometry_of(header: Dataset) -> dict[str, Any]:
    """Read the known numbers, in metres, radians and seconds; one that is damaged or out of range is missing.

    `detector_spacing_m` has the lengths between rows and between columns. `acquired_at_s` counts from 1970 in
    UTC. A time that has no zone is `acquired_local_s` in its place: it counts from 1970 as the clock at the
    modality shows it.
    """
    source_to_detector = _number(header, "DistanceSourceToDetector", 100.0, _LONGEST_MM)
    source_to_patient = _number(header, "DistanceSourceToPatient", 100.0, source_to_detector or _LONGEST_MM)
    primary = _number(header, "PositionerPrimaryAngle", -180.0, 180.0)
    secondary = _number(header, "PositionerSecondaryAngle", -90.0, 90.0)
    spacing = _numbers(header, "ImagerPixelSpacing", *_SPACING_MM)
    known = {
        "source_to_detector_m": source_to_detector and source_to_detector / 1000,
        "source_to_patient_m": source_to_patient and source_to_patient / 1000,
        "magnification": _number(
            header, "EstimatedRadiographicMagnificationFactor", 1.0, _MOST_MAGNIFICATION
        ),
        "detector_spacing_m": [length / 1000 for length in spacing] if len(spacing) == 2 else None,
        "primary_angle_rad": None if primary is None else radians(primary),
        "secondary_angle_rad": None if secondary is None else radians(secondary),
        **_acquired(header),
    }
    return {name: value for name, value in known.items() if value is not None}


def _number(header: Dataset, keyword: str, least: float, most: float) -> float | None:
    found = _numbers(header, keyword, least, most)
    return found[0] if len(found) == 1 else None


def _numbers(header: Dataset, keyword: str, least: float, most: float) -> list[float]:
    try:
        given = header.get(keyword)
        values = given if isinstance(given, (list, tuple, MultiValue)) else [given]
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return []
    inside = all(isfinite(number) and least <= number <= most for number in numbers)
    return numbers if inside else []


def _acquired(header: Dataset) -> dict[str, float]:
    texts = [
        str(header.get(keyword) or "").strip()
        for keyword in ("AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "TimezoneOffsetFromUTC")
    ]
    whole, day, time, zone_of_file = texts
    found = _TIME.fullmatch(whole) or _TIME.fullmatch(day + time)
    if not found:
        return {}
    digits, fraction, own_zone = found.groups()
    zone_text = own_zone or zone_of_file
    zone = _ZONE.fullmatch(zone_text or "+0000")
    if not zone:  # It is damaged: the file has a zone, and which is not known.
        return {}
    try:
        offset = timedelta(hours=int(zone[2]), minutes=int(zone[3])) * (-1 if zone[1] == "-" else 1)
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=timezone(offset))
    except ValueError:
        return {}
    if moment.year not in _YEARS:
        return {}
    seconds = round(moment.astimezone(UTC).timestamp() + float(f"0.{fraction or 0}"), 6)
    return {"acquired_at_s" if zone_text else "acquired_local_s": seconds}
