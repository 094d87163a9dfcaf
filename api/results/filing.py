"""Writes DICOM instances into the study of the source: what the reports and the overlay share.

Patient and study of the source are carried over, which a PACS needs to file an instance, and nothing else.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from pydicom import DataElement, Dataset, config, dcmread
from pydicom.sr.coding import Code
from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from api.results.fhir_parts import LATERALITY

MANUFACTURER = "Osteo-Synergy"
RADIOGRAPHY = Code("168537006", "SCT", "Plain radiography")
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_MAY_BE_MISSING = ("IssuerOfPatientID", "StudyDescription")
_SEXES = ("M", "F", "O")
_UTF8 = "ISO_IR 192"


class NotFileable(ValueError):
    """The header of the source lacks what DICOM needs. The message quotes nothing of the header."""


def fileable(make: Callable[[Dataset], Dataset], source: bytes) -> bytes:
    """Return the instance that `make` makes of the header of the image `source`. Raises NotFileable."""
    try:
        header = dcmread(io.BytesIO(source), stop_before_pixels=True, force=True)
        if not all(header.get(keyword) for keyword in _NEEDED):
            raise NotFileable("The image names no study, series or instance of its own.")
        carried = _take_out(header)
        made = make(header)
        for keyword, value in carried.items():
            setattr(made, keyword, value)
        made.SpecificCharacterSet = _UTF8
        file = io.BytesIO()
        made.save_as(file, enforce_file_format=True)
    except NotFileable:
        raise
    except Exception:
        # Raised without the cause: the messages of the libraries quote values of the header.
        raise NotFileable("The header of the image has values that DICOM does not allow.") from None
    return file.getvalue()


def _take_out(header: Dataset) -> dict[str, str]:
    """Take patient and study out of a header: legal values, or empty ones, for what is filed beside it.

    highdicom refuses some legal character sets, and values that are illegal but common. Text is written in
    UTF-8.
    """
    carried = {
        keyword: _legal(header[keyword]) if keyword in header else ""
        for keyword in (*_MAY_BE_EMPTY, *(name for name in _MAY_BE_MISSING if name in header))
    }
    for keyword in carried:
        setattr(header, keyword, "")
    header.SpecificCharacterSet = _UTF8
    return carried


def _legal(element: DataElement) -> str:
    # Of several values, which a source may have against the rules, each.
    text = "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value or "")
    try:
        if element.VR == "DA":
            DA(text, validation_mode=config.RAISE)
        elif element.VR == "TM":
            TM(text, validation_mode=config.RAISE)
    except ValueError:
        return ""
    return "" if element.keyword == "PatientSex" and text not in _SEXES else text


def sites(sr: Any, image: dict[str, Any]) -> list[Any] | None:
    """Return the part of the body and its side, as highdicom takes them; None where they are unknown."""
    part = image.get("body_part")
    if part is None:
        return None
    side = image.get("laterality")
    laterality = sct(LATERALITY[side]) if side else None
    return [sr.FindingSite(sct((part["snomed"], part["meaning"])), laterality)]


def corners(box: Sequence[float]) -> np.ndarray:
    """Return the corners of a box, the first one also as the last, each as x and y."""
    x, y, width, height = box
    right, bottom = x + width, y + height
    return np.array([[x, y], [right, y], [right, bottom], [x, bottom], [x, y]], float)


def sct(concept: tuple[str, str]) -> Code:
    """Return a concept of SNOMED CT, of its code and its meaning."""
    return Code(concept[0], "SCT", concept[1].capitalize())


def uid(*names: str) -> UID:
    """Return a UID that is always the same for these names."""
    return UID(f"2.25.{uuid5(NAMESPACE_URL, '/'.join(names)).int}")
