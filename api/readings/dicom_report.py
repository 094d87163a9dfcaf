"""Writes a signed report as DICOM: a structured report (TID 1500), complete and verified by its reader.

It succeeds the model's report, or the version of the report before, and is filed in the study of the source.
It has the finding, the sites, the measurements and the reader's words; the signature stays in the JSON and in
FHIR.
"""

import re
from datetime import datetime
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, Comprehensive3DSRStorage

from api.readings.wording import MEASURED, UNITS, impression
from api.results.dicom_report import report_uids
from api.results.fhir import PRESENCE, SUSPECTED
from api.results.fhir_parts import FRACTURE
from api.results.filing import MANUFACTURER, RADIOGRAPHY, corners, fileable, sct, sites, uid
from jobs.reading.measurement import Measurement, text_of
from jobs.reading.reading import Reading
from jobs.record.job import Job, moment_text
from jobs.version import VERSION

_SERIES = 9003
"""Behind those of the model's report and of the overlay."""
_IMPRESSION = Code("121073", "DCM", "Impression")
_RECOMMENDATION = Code("121075", "DCM", "Recommendation")
_COMMENT = Code("121106", "DCM", "Comment")
_PRESENCE = {
    "fracture": PRESENCE["fracture"],
    "no_fracture": PRESENCE["no_fracture"],
    "not_sure": PRESENCE["indeterminate"],
}
_NOT_IN_NAMES = re.compile(r"[\\^=\x00-\x1f\x7f]")
_LONGEST_NAME = 63
"""A group of a name has 64 characters, one of which ends the family name."""


def signed_report(reading: Reading, job: Job, source: bytes, system: str) -> bytes:
    """Write the report that was signed last as a Comprehensive 3D SR about the image `source`.

    `system` is a URL of the service, which stands for its device. Raises NotFileable.
    """
    return fileable(lambda header: _report(reading, job, header, system), source)


def _report(reading: Reading, job: Job, header: Dataset, system: str) -> Dataset:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    version = reading.reports[-1]
    number, name = version["number"], _person(version["reader_name"])
    observer = sr.ObserverContext(codes.DCM.Person, sr.PersonObserverIdentifyingAttributes(name))
    content = sr.MeasurementReport(
        sr.ObservationContext(observer_person_context=observer),
        RADIOGRAPHY,
        imaging_measurements=_groups(sr, reading, job, version["report"], header),
    )
    content[0].ContentSequence.extend(_texts(sr, version["report"]))
    series = uid(reading.id, "report-series")
    made = sr.Comprehensive3DSR(
        [header],
        content,
        series_instance_uid=series,
        series_number=_SERIES,
        sop_instance_uid=uid(reading.id, f"report-{number}"),
        instance_number=number,
        is_complete=True,
        is_final=True,
        is_verified=True,
        verifying_observer_name=name,
        verifying_organization=MANUFACTURER,
        previous_versions=_predecessor(reading, job, header, series, number),
        series_description="Reading by a person",
        manufacturer=MANUFACTURER,
        manufacturer_model_name="Reading room",
        software_versions=VERSION,
        device_serial_number=uid(system, "reading room").removeprefix("2.25.")[:16],
    )
    return _dated(made, datetime.fromisoformat(version["at"]))


def _groups(sr: Any, reading: Reading, job: Job, report: dict[str, Any], header: Dataset) -> list[Any]:
    """Make the finding, a region for each site, and a group for each measurement."""
    finding, fracture = report["finding"], sct(FRACTURE)
    body = sites(sr, job.acquisition or {})
    evaluations = []
    if finding in _PRESENCE:
        evaluations.append(sr.QualitativeEvaluation(fracture, sct(_PRESENCE[finding])))
    groups = [
        sr.MeasurementsAndQualitativeEvaluations(
            sr.TrackingIdentifier(uid(reading.id, "finding"), "finding"),
            qualitative_evaluations=evaluations or None,
            source_images=[sr.SourceImageForMeasurementGroup.from_source_image(header)],
            # As in the model's report: readers show a finding far from "Absent".
            finding_type=fracture if finding == "fracture" else None,
            finding_sites=body,
        )
    ]
    seen = sct(PRESENCE["fracture"] if finding == "fracture" else SUSPECTED)
    for place, site in enumerate(report["sites"], start=1):
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            sr.TrackingIdentifier(uid(reading.id, f"site-{place}"), f"site {place}"),
            referenced_region=sr.ImageRegion(
                *_graphic(site), sr.SourceImageForRegion.from_source_image(header)
            ),
            qualitative_evaluations=[sr.QualitativeEvaluation(fracture, seen)],
            finding_type=fracture,
            finding_sites=body,
        )
        if "bone" in site:
            group[0].ContentSequence.append(sr.TextContentItem(_COMMENT, site["bone"], "CONTAINS"))
        groups.append(group)
    for place, measurement in enumerate(report.get("measurements", ()), start=1):
        group = sr.MeasurementsAndQualitativeEvaluations(
            sr.TrackingIdentifier(uid(reading.id, f"measurement-{place}"), f"measurement {place}"),
            measurements=[_measured(sr, measurement, header)],
            finding_sites=body,
        )
        # The number has no code for the plane in which it holds.
        group[0].ContentSequence.append(sr.TextContentItem(_COMMENT, text_of(measurement), "CONTAINS"))
        groups.append(group)
    return groups


def _measured(sr: Any, measurement: Measurement, header: Dataset) -> Any:
    """Make the number of a measurement, with its lines in the source."""
    points = np.array(measurement["points"], float)
    lines = np.split(points, 2) if measurement["kind"] == "cobb" else [points]
    return sr.Measurement(
        sct(MEASURED[measurement["kind"]]),
        measurement["value"],
        Code(measurement["unit"], "UCUM", UNITS[measurement["unit"]]),
        referenced_coordinates=[
            sr.CoordinatesForMeasurement("POLYLINE", line, sr.SourceImageForRegion.from_source_image(header))
            for line in lines
        ],
    )


def _graphic(site: dict[str, Any]) -> tuple[str, np.ndarray]:
    if "box" in site:
        return "POLYLINE", corners(site["box"])
    return "POINT", np.array([site["point"]], float)


def _texts(sr: Any, report: dict[str, Any]) -> list[Any]:
    said = [(_IMPRESSION, impression(report)), (_RECOMMENDATION, report["advice"])]
    return [sr.TextContentItem(name, text, "CONTAINS") for name, text in said if text]


def _predecessor(
    reading: Reading, job: Job, header: Dataset, series: UID, number: int
) -> list[Dataset] | None:
    """Name the version of the report before, or the model's report before the first; None without one.

    A model that has answered after the first signature precedes nothing: an instance never changes.
    """
    answered_at = moment_text(job.finished_at) if job.result and job.finished_at else None
    if number == 1 and (answered_at is None or answered_at > reading.reports[0]["at"]):
        return None
    before = Dataset()
    before.StudyInstanceUID, before.SOPClassUID = header.StudyInstanceUID, Comprehensive3DSRStorage
    if number > 1:
        before.SeriesInstanceUID, before.SOPInstanceUID = series, uid(reading.id, f"report-{number - 1}")
    else:
        before.SeriesInstanceUID, before.SOPInstanceUID = report_uids(job.id)
    return [before]


def _dated(made: Dataset, moment: datetime) -> Dataset:
    """Set the dates of the signature, in UTC, so that every request gets the same instance."""
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    made.InstanceCreationDate = made.ContentDate = date
    made.InstanceCreationTime = made.ContentTime = time
    made.VerifyingObserverSequence[0].VerificationDateTime = f"{date}{time}+0000"
    made.ContributingEquipmentSequence[-1].ContributionDateTime = date + time
    return made


def _person(name: str) -> str:
    """Return a reader's name as DICOM has names. It is not taken apart: all of it is the family name."""
    return f"{_NOT_IN_NAMES.sub(' ', name).strip()[:_LONGEST_NAME]}^"
