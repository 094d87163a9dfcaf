"""The signed report as DICOM: verified by its reader, about the source, after the version before."""

import io
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from api.readings.dicom_report import signed_report
from api.readings.wording import impression
from api.results import dicom_report
from api.results.filing import NotFileable
from jobs.reading.measurement import text_of
from jobs.reading.reading import Reading
from jobs.record.job import now
from tests import pictures
from tests.api.readings import signed_readings
from tests.api.results.test_dicom_report import UNKNOWN_SIDE, named, needs_dciodvfy
from tests.results import succeeded_job

pytest.importorskip("highdicom", reason="DICOM OUTPUT WAS NOT TRIED: highdicom is missing")
SOURCE = pictures.dicom_of_a_study(pictures.gray(), PatientName="Doe^Jane")
SYSTEM = "https://osteo.example"
JOB = replace(succeeded_job(), finished_at=now())
WAITING = signed_readings.a_reading(JOB)
SIGNED = signed_readings.signed(WAITING, JOB)
AMENDED = signed_readings.amended(SIGNED, JOB)
NAME = f"{signed_readings.NAME}^"
needs_dsrdump = pytest.mark.skipif(
    not shutil.which("dsrdump"), reason="DICOM WAS NOT READ BY DCMTK: dsrdump is missing. On Debian: dcmtk"
)


def of_finding(finding: str) -> Reading:
    report = {**signed_readings.REPORT, "finding": finding, "advice": ""}
    report["sites"] = report["sites"] if finding in ("fracture", "not_sure") else []
    return signed_readings.signed(WAITING, JOB, report)


KINDS = {
    "amended": AMENDED,
    "measured": signed_readings.signed(WAITING, JOB, signed_readings.with_measurements(JOB)),
    **{name: of_finding(name) for name in ("fracture", "no_fracture", "not_sure", "not_diagnostic")},
}


def made(reading: Reading) -> Dataset:
    return dcmread(io.BytesIO(signed_report(reading, JOB, SOURCE, SYSTEM)))


def predecessor(report: Dataset) -> tuple[str, str, str]:
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert instance.ReferencedSOPClassUID == report.SOPClassUID
    return study.StudyInstanceUID, series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID


def test_the_report_is_complete_and_verified_by_its_reader():
    report = made(SIGNED)
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "VERIFIED")
    assert report.PreliminaryFlag == "FINAL"
    (observer,) = report.VerifyingObserverSequence
    assert observer.VerifyingObserverName == NAME
    at = SIGNED.reports[0]["at"]
    assert observer.VerificationDateTime == f"{at[:19].translate({45: None, 58: None, 84: None})}+0000"
    assert named(report, "Person Observer Name")[0].PersonName == NAME


def test_the_first_version_succeeds_the_models_report():
    report = made(SIGNED)
    of_model = dcmread(io.BytesIO(dicom_report.report(JOB, SOURCE)))
    wanted = (of_model.StudyInstanceUID, of_model.SeriesInstanceUID, of_model.SOPInstanceUID)
    assert predecessor(report) == wanted
    assert report.SeriesInstanceUID != of_model.SeriesInstanceUID


def test_an_amended_version_succeeds_the_version_before():
    first, second = made(SIGNED), made(AMENDED)
    assert predecessor(second) == (first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID)
    assert second.SeriesInstanceUID == first.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


def test_a_report_without_an_answer_of_the_model_has_no_predecessor():
    job = replace(JOB, result=None)
    report = dcmread(io.BytesIO(signed_report(SIGNED, job, SOURCE, SYSTEM)))
    assert "PredecessorDocumentsSequence" not in report


def test_a_model_that_answered_after_the_signature_precedes_no_report():
    late = replace(JOB, finished_at=datetime.fromisoformat(SIGNED.reports[0]["at"]) + timedelta(seconds=1))
    before = signed_report(SIGNED, replace(JOB, result=None), SOURCE, SYSTEM)
    assert signed_report(SIGNED, late, SOURCE, SYSTEM) == before


def test_the_sites_are_coordinates_in_the_source_and_the_words_are_kept():
    report = made(SIGNED)
    box, point = named(report, "Image Region")
    assert (box.ValueType, box.GraphicType) == ("SCOORD", "POLYLINE")
    assert list(box.GraphicData) == [10, 20, 40, 20, 40, 60, 10, 60, 10, 20]
    assert (point.GraphicType, list(point.GraphicData)) == ("POINT", [55.5, 66])
    source = dcmread(io.BytesIO(SOURCE))
    for region in (box, point):
        (image,) = region.ContentSequence
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    (said,), (advice,) = named(report, "Impression"), named(report, "Recommendation")
    assert said.TextValue == "There is a fracture. Urgent. Displaced.\nDistal third."
    assert advice.TextValue == "Cast."
    assert named(report, "Comment")[0].TextValue == "Radius"


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        ("fracture", ["Present"] * 3),
        ("no_fracture", ["Absent"]),
        ("not_sure", ["Indeterminate", "Suspected", "Suspected"]),
        ("not_diagnostic", []),
    ],
)
def test_each_finding_is_coded_as_in_the_models_report(finding: str, said: list[str]):
    report = made(KINDS[finding])
    answers = [item.ConceptCodeSequence[0].CodeMeaning for item in named(report, "Fracture of bone")]
    assert answers == said


def test_the_report_has_patient_and_study_of_the_source_and_no_question():
    report, source = made(SIGNED), dcmread(io.BytesIO(SOURCE))
    of_model = dcmread(io.BytesIO(dicom_report.report(JOB, SOURCE)))
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "AccessionNumber"):
        assert report[keyword] == source[keyword]
    more = {element.keyword for element in report} - {element.keyword for element in of_model}
    assert more <= {"VerifyingObserverSequence", "PredecessorDocumentsSequence"}
    assert "Scaphoid?" not in str(report)
    for word in (JOB.result["model"]["name"], "robability"):
        assert word not in str(report), "the model's answer is in its own report"


def test_the_same_version_makes_the_same_instance():
    assert signed_report(SIGNED, JOB, SOURCE, SYSTEM) == signed_report(SIGNED, JOB, SOURCE, SYSTEM)


@pytest.mark.parametrize("name", ["Ülkü Öz=x^y\\z", "山田 太郎", "A" * 100])
def test_any_name_of_a_reader_is_written(name: str):
    report = made(replace(SIGNED, reports=({**SIGNED.reports[0], "reader_name": name},)))
    (observer,) = report.VerifyingObserverSequence
    written = str(observer.VerifyingObserverName)
    assert written[:3] == name[:3]
    assert (written.count("^"), written.count("="), len(written) <= 64) == (1, 0, True)


def test_a_source_without_a_study_is_refused():
    with pytest.raises(NotFileable, match="no study"):
        signed_report(SIGNED, JOB, pictures.dicom(pictures.gray()), SYSTEM)


@needs_dciodvfy
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_nothing_wrong(kind: str, tmp_path: Path):
    file = tmp_path / "report"
    file.write_bytes(signed_report(KINDS[kind], JOB, SOURCE, SYSTEM))
    said = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
    found = [line for line in (said.stdout + said.stderr).splitlines() if UNKNOWN_SIDE not in line]
    assert len(found) == 1, found
    assert said.returncode == 0


@needs_dsrdump
@pytest.mark.parametrize("kind", KINDS)
def test_dcmtk_reads_the_report(kind: str, tmp_path: Path):
    file = tmp_path / "report"
    file.write_bytes(signed_report(KINDS[kind], JOB, SOURCE, SYSTEM))
    read = subprocess.run(["dsrdump", "+Pl", file], capture_output=True, text=True, check=True)
    assert not [line for line in read.stderr.splitlines() if line.startswith(("E:", "F:"))]
    assert re.search(r"^Completion Flag +: COMPLETE$", read.stdout, re.M)
    assert re.search(r"^Verification Flag +: VERIFIED$", read.stdout, re.M)
    assert re.search(r"^Predecessor Docs +: 1$", read.stdout, re.M)
    assert signed_readings.NAME in read.stdout
    assert impression(KINDS[kind].reports[-1]["report"]).partition("\n")[0] in read.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_highdicom_reads_the_report(kind: str):
    from highdicom.sr import srread

    report = srread(io.BytesIO(signed_report(KINDS[kind], JOB, SOURCE, SYSTEM)))
    signed = KINDS[kind].reports[-1]["report"]
    assert len(report.content.get_planar_roi_measurement_groups()) == len(signed["sites"])
    groups = report.content.get_image_measurement_groups()[1:]
    assert len(groups) == len(signed.get("measurements", ()))


def test_measurements_are_numbers_with_units_and_lines_in_the_source():
    from highdicom.sr import srread

    report = srread(io.BytesIO(signed_report(KINDS["measured"], JOB, SOURCE, SYSTEM)))
    source = dcmread(io.BytesIO(SOURCE))
    found, lines = [], []
    for group in report.content.get_image_measurement_groups()[1:]:
        (number,) = group.get_measurements()
        found.append((number.name, number.value, number.unit))
        lines.append([[(x, y) for x, y in line.value.tolist()] for line in number.referenced_coordinates])
        for line in number.referenced_coordinates:
            assert line.graphic_type.value == "POLYLINE"
            (image,) = line.ContentSequence
            assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    length, angle, cobb = codes.SCT.Length, codes.SCT.Angle, codes.SCT.CobbAngle
    pixels = Code("{pixels}", "UCUM", "pixels")
    assert found == [
        (length, 8.6, codes.UCUM.Millimeter),
        (length, 42.8, codes.UCUM.Millimeter),
        (length, 55, pixels),
        (angle, 42.2, codes.UCUM.Degree),
        (cobb, 24.7, codes.UCUM.Degree),
    ]
    ends = [(x, y) for x, y in signed_readings.ENDS]
    assert lines == [[ends[:2]], [ends[:2]], [ends[:2]], [ends[:3]], [ends[:2], ends[2:]]]
    said = [item.TextValue for item in named(made(KINDS["measured"]), "Comment")][1:]
    assert said == [text_of(one) for one in KINDS["measured"].reports[-1]["report"]["measurements"]]
    assert said[:3] == [
        "Length: 8.6 mm at detector",
        "Length: 42.8 mm in patient (calibrated on 25 mm)",
        "Length: 55 px (no scale)",
    ]
