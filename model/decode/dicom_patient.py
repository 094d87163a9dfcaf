"""Reads whose picture a DICOM file is, to tell which pictures are of one patient."""

import io

from pydicom import dcmread

_TAGS = ["IssuerOfPatientID", "PatientID"]


def patient_of(data: bytes) -> list[str] | None:
    """Return issuer and id of the patient in a DICOM file; None for a file that names none.

    Both name a person: no caller may store them, or write them into a log.
    """
    try:
        header = dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=_TAGS, force=True)
        issuer, patient = (str(header.get(tag) or "").strip() for tag in _TAGS)
    except Exception:  # pydicom raises nearly anything on damaged files, and quotes them
        return None
    return [issuer, patient] if patient else None
