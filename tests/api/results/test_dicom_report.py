import io
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from api.results import dicom_report
from api.results.filing import NotFileable
from jobs.record.job import Job
from tests import pictures
from tests.results import RESULT, succeeded_job

pytest.importorskip("highdicom", reason="DICOM OUTPUT WAS NOT TRIED: highdicom is missing")
ROOT = Path(__file__).parents[3]
SOURCE = pictures.dicom_of_a_study(pictures.gray(), PatientName="Doe^Jane")
OVERLAY = pictures.encoded(pictures.colours())
UNKNOWN_SIDE = "is only permitted to be empty when actually unknown"
"""A warning about Laterality, which is unknown where the source does not give it."""
needs_dciodvfy = pytest.mark.skipif(
    not shutil.which("dciodvfy"),
    reason="DICOM WAS NOT VALIDATED: dciodvfy is missing. On Debian: apt-get install dicom3tools",
)


@pytest.fixture(scope="module")
def job() -> Job:
    return succeeded_job()


def read(data: bytes) -> Dataset:
    return dcmread(io.BytesIO(data))


def items(dataset: Dataset) -> list[Dataset]:
    inner = [item for child in dataset.get("ContentSequence", ()) for item in items(child)]
    return [dataset, *inner]


def named(dataset: Dataset, meaning: str) -> list[Dataset]:
    return [
        item
        for item in items(dataset)
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]


def test_the_report_names_finding_regions_and_model(job: Job):
    report = read(dicom_report.report(job, SOURCE))
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    (probability,) = named(report, "Probability")
    assert probability.MeasuredValueSequence[0].NumericValue == 0.93
    answers = [item.ConceptCodeSequence[0].CodeMeaning for item in named(report, "Fracture of bone")]
    assert answers == ["Present", "Suspected", "Suspected"]
    sites = named(report, "Finding Site")
    assert {site.ConceptCodeSequence[0].CodeValue for site in sites} == {"14975008"}
    first, _ = named(report, "Image Region")
    assert list(first.GraphicData) == [10, 20, 40, 20, 40, 60, 10, 60, 10, 20]
    assert named(report, "Algorithm Version")[0].TextValue == "1.2.3"


def test_report_and_overlay_are_in_the_study_of_the_source_and_refer_to_it(job: Job):
    source = read(SOURCE)
    report = read(dicom_report.report(job, SOURCE))
    overlay = read(dicom_report.overlay(job, SOURCE, OVERLAY))
    for made in (report, overlay):
        for keyword in (
            "StudyInstanceUID",
            "PatientID",
            "PatientName",
            "PatientBirthDate",
            "AccessionNumber",
        ):
            assert made[keyword] == source[keyword]
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert overlay.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert np.array_equal(overlay.pixel_array, pictures.colours())


def test_the_same_job_makes_the_same_instances(job: Job):
    assert dicom_report.report(job, SOURCE) == dicom_report.report(job, SOURCE)
    made = [dicom_report.overlay(job, SOURCE, OVERLAY) for _ in range(2)]
    assert made[0] == made[1]


@needs_dciodvfy
@pytest.mark.parametrize("regions", [0, 2])
def test_dciodvfy_finds_nothing_wrong(job: Job, regions: int, tmp_path: Path):
    image = {key: RESULT["image"][key] for key in ("sha256", "width", "height", "format")}
    bare = succeeded_job({**RESULT, "finding": "no_fracture", "regions": [], "image": image})
    job = job if regions else bare
    made = {
        "report": dicom_report.report(job, SOURCE),
        "overlay": dicom_report.overlay(job, SOURCE, OVERLAY),
    }
    for name, data in made.items():
        file = tmp_path / name
        file.write_bytes(data)
        said = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
        found = [line for line in (said.stdout + said.stderr).splitlines() if UNKNOWN_SIDE not in line]
        assert len(found) == 1, "the name of the IOD, and nothing wrong with it"
        assert said.returncode == 0


@needs_dciodvfy
def test_dciodvfy_would_find_a_mistake(job: Job, tmp_path: Path):
    report = read(dicom_report.report(job, SOURCE))
    del report.PreliminaryFlag
    del report.Manufacturer
    report.save_as(tmp_path / "report")
    said = subprocess.run(["dciodvfy", tmp_path / "report"], capture_output=True, text=True, check=False)
    assert "Error" in said.stderr + said.stdout


NAMES = {
    "lone ISO 2022 IR 100": ("ISO 2022 IR 100", "Müller^Jörg"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Japanese, half width": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_in_any_legal_character_set_is_kept(job: Job, kind: str):
    character_set, name = NAMES[kind]
    source = pictures.dicom_of_a_study(
        pictures.gray(), SpecificCharacterSet=character_set, PatientName=name, StudyDescription="hand"
    )
    for made in (dicom_report.report(job, source), dicom_report.overlay(job, source, OVERLAY)):
        assert read(made).PatientName == name
        assert read(made).StudyDescription == "hand"


ILLEGAL = {
    "PatientSex": ["U", "MALE"],
    "PatientBirthDate": ["00000000", "1950"],
    "StudyDate": ["00000000"],
    "StudyTime": ["25"],
}


@pytest.mark.parametrize(
    ("keyword", "value"), [(keyword, value) for keyword, values in ILLEGAL.items() for value in values]
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_value_that_dicom_does_not_allow_is_left_empty(job: Job, keyword: str, value: str):
    source = pictures.dicom_of_a_study(pictures.gray(), **{keyword: value})
    for made in (dicom_report.report(job, source), dicom_report.overlay(job, source, OVERLAY)):
        assert not read(made)[keyword].value
        assert read(made).PatientID == read(source).PatientID


def test_several_values_where_one_is_allowed_are_carried_as_they_are(job: Job):
    several = {"PatientID": ["HOSP", "12345"], "StudyDescription": ["WRIST", "HAND"]}
    source = pictures.dicom_of_a_study(pictures.gray(), **several)
    for made in (dicom_report.report(job, source), dicom_report.overlay(job, source, OVERLAY)):
        assert {name: list(read(made)[name].value) for name in several} == several


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_uid_with_zeros_before_a_number_is_kept(job: Job):
    source = pictures.dicom_of_a_study(pictures.gray(), StudyInstanceUID="1.2.03.4")
    assert read(dicom_report.report(job, source)).StudyInstanceUID == "1.2.03.4"


def test_a_source_without_a_preamble_gets_its_report(job: Job):
    assert read(dicom_report.report(job, SOURCE[132:])).PatientName == "Doe^Jane"


@pytest.mark.parametrize(
    ("finding", "rows", "said"),
    [("fracture", 1, "Present"), ("no_fracture", 0, "Absent"), ("indeterminate", 0, "Indeterminate")],
)
def test_only_a_present_fracture_is_a_finding(job: Job, finding: str, rows: int, said: str):
    result = {**RESULT, "finding": finding, "regions": []}
    report = read(dicom_report.report(replace(job, result=result), SOURCE))
    assert len(named(report, "Finding")) == rows
    (evaluation,) = named(report, "Fracture of bone")
    assert evaluation.ConceptCodeSequence[0].CodeMeaning == said


def test_a_source_without_a_study_is_refused(job: Job):
    with pytest.raises(NotFileable, match="no study"):
        dicom_report.report(job, pictures.dicom(pictures.gray()))


def test_what_is_wrong_in_a_header_is_not_quoted(job: Job):
    source = SOURCE.replace(b"1.2.840.10008.5.1.4.1.1.7\0", b"Hidden.2.840.10008.5.1.4.1")
    with pytest.raises(NotFileable) as refusal:
        dicom_report.report(job, source)
    assert "Hidden" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_highdicom_is_not_loaded_before_it_is_asked_for():
    code = "import sys, api.app; sys.exit('highdicom' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
