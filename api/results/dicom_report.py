"""Writes a job's result as DICOM: a structured report (TID 1500) and the overlay, in the study of the source.

Both carry the patient and the study of the source, which a PACS needs to file them. They are made from the
stored original when the client that submitted it asks for them, and are not stored. highdicom is imported
with the first of them.
"""

import io
import logging
import warnings
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from PIL import Image
from pydicom import DataElement, Dataset, config, dcmread
from pydicom.sr.coding import Code
from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from api.results.fhir import CONCLUSION, FRACTURE, LATERALITY, PRESENCE, SUSPECTED
from jobs.record.job import Job

MANUFACTURER = "Osteo-Synergy"
_PROBABILITY = Code("122157", "DCM", "Probability")
_CERTAINTY = Code("111011", "DCM", "Certainty of Feature")
_RADIOGRAPHY = Code("168537006", "SCT", "Plain radiography")
_NO_UNIT, _PERCENT = Code("1", "UCUM", "no units"), Code("%", "UCUM", "Percent")
_REPORT_SERIES, _OVERLAY_SERIES = 9001, 9002
"""Far above the numbers that modalities give their series."""
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


def silence_highdicom() -> None:
    """Drop the warnings and log records of highdicom: they quote patients' names and the source's UIDs."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"highdicom(\.|$)")


def report(job: Job, source: bytes) -> bytes:
    """Write a Comprehensive 3D SR about the image `source`, preliminary and unverified.

    Raises NotFileable.
    """
    return _fileable(lambda header: _report(job, header), source)


def overlay(job: Job, source: bytes, png: bytes) -> bytes:
    """Write the overlay as a Secondary Capture image. Raises NotFileable."""
    return _fileable(lambda header: _overlay(job, header, png), source)


def _fileable(make: Any, source: bytes) -> bytes:
    try:
        header = dcmread(io.BytesIO(source), stop_before_pixels=True, force=True)
        if not all(header.get(keyword) for keyword in _NEEDED):
            raise NotFileable("The image names no study, series or instance of its own.")
        carried = _take_out(header)
        made: Dataset = make(header)
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
    text = str(element.value or "")
    try:
        if element.VR == "DA":
            DA(text, validation_mode=config.RAISE)
        elif element.VR == "TM":
            TM(text, validation_mode=config.RAISE)
    except ValueError:
        return ""
    return "" if element.keyword == "PatientSex" and text not in _SEXES else text


def _report(job: Job, header: Dataset) -> Dataset:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    result = job.result or {}
    model = result["model"]
    algorithm = sr.AlgorithmIdentification(model["name"], model["version"])
    device = sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            _uid(model["sha256"]), model["name"], MANUFACTURER, model["name"], model["version"]
        ),
    )
    fracture = _sct(FRACTURE)
    shared = {"algorithm_id": algorithm, "finding_sites": _sites(sr, result)}
    # Readers show a finding far from "Absent": the evaluation alone names what may not be there.
    finding = fracture if result["finding"] == "fracture" else None
    groups: list[Any] = [
        sr.MeasurementsAndQualitativeEvaluations(
            sr.TrackingIdentifier(_uid(job.id, "finding"), "finding"),
            measurements=[sr.Measurement(_PROBABILITY, result["probability"], _NO_UNIT)],
            qualitative_evaluations=[sr.QualitativeEvaluation(fracture, _sct(PRESENCE[result["finding"]]))],
            source_images=[sr.SourceImageForMeasurementGroup.from_source_image(header)],
            finding_type=finding,
            **shared,
        )
    ]
    for number, region in enumerate(result["regions"], start=1):
        groups.append(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                sr.TrackingIdentifier(_uid(job.id, f"region-{number}"), f"region {number}"),
                referenced_region=sr.ImageRegion(
                    "POLYLINE", _corners(region["box"]), sr.SourceImageForRegion.from_source_image(header)
                ),
                measurements=[sr.Measurement(_CERTAINTY, round(100 * region["score"], 2), _PERCENT)],
                qualitative_evaluations=[sr.QualitativeEvaluation(fracture, _sct(SUSPECTED))],
                finding_type=fracture,
                **shared,
            )
        )
    content = sr.MeasurementReport(
        sr.ObservationContext(observer_device_context=device), _RADIOGRAPHY, imaging_measurements=groups
    )
    made = sr.Comprehensive3DSR(
        [header],
        content,
        series_instance_uid=_uid(job.id, "report-series"),
        series_number=_REPORT_SERIES,
        sop_instance_uid=_uid(job.id, "report"),
        instance_number=1,
        is_complete=True,
        series_description="Search for fractures, preliminary",
        **_equipment(model),
    )
    return _dated(made, job)


def _overlay(job: Job, header: Dataset, png: bytes) -> Dataset:
    from highdicom.sc import SCImage

    result = job.result or {}
    orientation, side = (result["image"].get(name) for name in ("orientation", "laterality"))
    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    made = SCImage.from_ref_dataset(
        header,
        pixels,
        "RGB",
        8,
        "PATIENT",
        series_instance_uid=_uid(job.id, "overlay-series"),
        series_number=_OVERLAY_SERIES,
        sop_instance_uid=_uid(job.id, "overlay"),
        instance_number=1,
        # highdicom wants one; what is not known is emptied below, as DICOM has it.
        patient_orientation=orientation or ("L", "F"),
        series_description="Overlay of the search for fractures",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **_equipment(result["model"]),
    )
    made.PatientOrientation, made.Laterality = orientation, side if side in ("L", "R") else ""
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DerivationDescription = f"{CONCLUSION[result['finding']]} Its regions are outlined on the image."
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    made.SourceImageSequence = [source]
    return _dated(made, job)


def _equipment(model: dict[str, str]) -> dict[str, str]:
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": model["name"],
        "software_versions": model["version"],
        "device_serial_number": model["sha256"][:16],
    }


def _dated(made: Dataset, job: Job) -> Dataset:
    """Set the dates of the result, in UTC, so that every request gets the same instance."""
    moment = job.finished_at or datetime.min
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    made.InstanceCreationDate = made.ContentDate = date
    made.InstanceCreationTime = made.ContentTime = time
    if "DateOfSecondaryCapture" in made:
        made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = date, time
    made.ContributingEquipmentSequence[-1].ContributionDateTime = date + time
    return made


def _sites(sr: Any, result: dict[str, Any]) -> list[Any] | None:
    part = result["image"].get("body_part")
    if part is None:
        return None
    side = result["image"].get("laterality")
    laterality = _sct(LATERALITY[side]) if side else None
    return [sr.FindingSite(_sct((part["snomed"], part["meaning"])), laterality)]


def _corners(box: list[int]) -> np.ndarray:
    x, y, width, height = box
    right, bottom = x + width, y + height
    return np.array([[x, y], [right, y], [right, bottom], [x, bottom], [x, y]], float)


def _sct(concept: tuple[str, str]) -> Code:
    return Code(concept[0], "SCT", concept[1].capitalize())


def _uid(*names: str) -> UID:
    return UID(f"2.25.{uuid5(NAMESPACE_URL, '/'.join(names)).int}")
