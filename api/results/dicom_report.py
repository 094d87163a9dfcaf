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

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from api.results.fhir import CONCLUSION, PRESENCE, SUSPECTED
from api.results.fhir_parts import FRACTURE
from api.results.filing import MANUFACTURER, RADIOGRAPHY, corners, fileable, sct, sites, uid
from jobs.record.job import Job

_PROBABILITY = Code("122157", "DCM", "Probability")
_CERTAINTY = Code("111011", "DCM", "Certainty of Feature")
_NO_UNIT, _PERCENT = Code("1", "UCUM", "no units"), Code("%", "UCUM", "Percent")
_REPORT_SERIES, _OVERLAY_SERIES = 9001, 9002
"""Far above the numbers that modalities give their series."""


def silence_highdicom() -> None:
    """Drop the warnings and log records of highdicom: they quote patients' names and the source's UIDs."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"highdicom(\.|$)")


def report(job: Job, source: bytes) -> bytes:
    """Write a Comprehensive 3D SR about the image `source`, preliminary and unverified.

    Raises NotFileable.
    """
    return fileable(lambda header: _report(job, header), source)


def overlay(job: Job, source: bytes, png: bytes) -> bytes:
    """Write the overlay as a Secondary Capture image. Raises NotFileable."""
    return fileable(lambda header: _overlay(job, header, png), source)


def report_uids(job_id: str) -> tuple[UID, UID]:
    """Return the UIDs of the series and of the instance of a job's report."""
    return uid(job_id, "report-series"), uid(job_id, "report")


def _report(job: Job, header: Dataset) -> Dataset:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    result = job.result or {}
    model = result["model"]
    algorithm = sr.AlgorithmIdentification(model["name"], model["version"])
    device = sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            uid(model["sha256"]), model["name"], MANUFACTURER, model["name"], model["version"]
        ),
    )
    fracture = sct(FRACTURE)
    shared = {"algorithm_id": algorithm, "finding_sites": sites(sr, result["image"])}
    # Readers show a finding far from "Absent": the evaluation alone names what may not be there.
    finding = fracture if result["finding"] == "fracture" else None
    groups: list[Any] = [
        sr.MeasurementsAndQualitativeEvaluations(
            sr.TrackingIdentifier(uid(job.id, "finding"), "finding"),
            measurements=[sr.Measurement(_PROBABILITY, result["probability"], _NO_UNIT)],
            qualitative_evaluations=[sr.QualitativeEvaluation(fracture, sct(PRESENCE[result["finding"]]))],
            source_images=[sr.SourceImageForMeasurementGroup.from_source_image(header)],
            finding_type=finding,
            **shared,
        )
    ]
    for number, region in enumerate(result["regions"], start=1):
        groups.append(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                sr.TrackingIdentifier(uid(job.id, f"region-{number}"), f"region {number}"),
                referenced_region=sr.ImageRegion(
                    "POLYLINE", corners(region["box"]), sr.SourceImageForRegion.from_source_image(header)
                ),
                measurements=[sr.Measurement(_CERTAINTY, round(100 * region["score"], 2), _PERCENT)],
                qualitative_evaluations=[sr.QualitativeEvaluation(fracture, sct(SUSPECTED))],
                finding_type=fracture,
                **shared,
            )
        )
    content = sr.MeasurementReport(
        sr.ObservationContext(observer_device_context=device), RADIOGRAPHY, imaging_measurements=groups
    )
    series, instance = report_uids(job.id)
    made = sr.Comprehensive3DSR(
        [header],
        content,
        series_instance_uid=series,
        series_number=_REPORT_SERIES,
        sop_instance_uid=instance,
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
        series_instance_uid=uid(job.id, "overlay-series"),
        series_number=_OVERLAY_SERIES,
        sop_instance_uid=uid(job.id, "overlay"),
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
