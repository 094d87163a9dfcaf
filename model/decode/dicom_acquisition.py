"""Reads from a DICOM header how its image was acquired: coded values only, each checked.

A field of free text may carry a patient's name, so a value that is in no table, or not of its form, is left
out.
"""

import re
from math import isfinite

from pydicom import Dataset

from model.decode.acquisition import BODY_PARTS, Acquisition
from model.decode.dicom_geometry import geometry_of
from model.decode.dicom_windowing import frame_group

_TERM_OF = {code: term for term, (code, _) in BODY_PARTS.items()}
_VIEWS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"})
"""View Position (PS3.3 C.8.1.1), as it is defined for projections that are no mammograms."""
_LATERALITIES = frozenset({"L", "R", "B"})
_UID = re.compile("[0-9.]{1,64}")
_DIRECTIONS = re.compile("[APLRHF]{1,3}")
"""Patient Orientation (PS3.3 C.7.6.1.1.1): anterior, posterior, left, right, head, foot."""


def acquisition_of(header: Dataset) -> Acquisition:
    """Read the acquisition from `header`; a value that is damaged or in no table counts as missing."""
    spacing, plane = _spacing(header)
    return Acquisition(
        body_part=_body_part(header),
        laterality=next(
            (side for side in _texts(header, "ImageLaterality", "Laterality") if side in _LATERALITIES), None
        ),
        view=next((view for view in _texts(header, "ViewPosition") if view in _VIEWS), None),
        orientation=_orientation(header),
        pixel_spacing=spacing,
        spacing_plane=plane,
        study_uid=next((uid for uid in _texts(header, "StudyInstanceUID") if _UID.fullmatch(uid)), None),
        geometry=geometry_of(header),
    )


def _texts(header: Dataset, *keywords: str) -> list[str]:
    return [str(header.get(keyword) or "").strip().upper() for keyword in keywords]


def _body_part(header: Dataset) -> str | None:
    (term,) = _texts(header, "BodyPartExamined")
    if term in BODY_PARTS:
        return term
    for region in header.get("AnatomicRegionSequence") or ():
        if region.get("CodingSchemeDesignator") == "SCT":
            return _TERM_OF.get(str(region.get("CodeValue")))
    return None


def _orientation(header: Dataset) -> tuple[str, str] | None:
    given = header.get("PatientOrientation") or ()
    directions = [] if isinstance(given, str) else [str(direction) for direction in given]
    if len(directions) == 2 and all(map(_DIRECTIONS.fullmatch, directions)):
        return directions[0], directions[1]
    return None


def _spacing(header: Dataset) -> tuple[tuple[float, float] | None, str | None]:
    given = _two_lengths(frame_group(header, "PixelMeasuresSequence", "PixelSpacing"), "PixelSpacing")
    on_detector = _two_lengths(header, "ImagerPixelSpacing") or _two_lengths(
        header, "NominalScannedPixelSpacing"
    )
    # PS3.3 10.7.1.3: only what was corrected for magnification differs from the detector's.
    if given and (header.get("PixelSpacingCalibrationType") or (on_detector and given != on_detector)):
        return given, "calibrated"
    if on_detector:
        return on_detector, "detector"
    return given, "unstated" if given else None


def _two_lengths(header: Dataset, keyword: str) -> tuple[float, float] | None:
    try:
        rows, columns = (float(value) for value in header.get(keyword) or ())
    except (TypeError, ValueError):
        return None
    return (rows, columns) if all(isfinite(value) and 0 < value < 100 for value in (rows, columns)) else None
