import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts

from model.decode.dicom_acquisition import BODY_PARTS, Acquisition, acquisition_of
from tests.results import ACQUISITION


def header(**values: object) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def test_what_is_coded_is_carried():
    found = acquisition_of(
        header(
            BodyPartExamined="FOREARM",
            ImageLaterality="L",
            ViewPosition="AP",
            PatientOrientation=["L", "F"],
            ImagerPixelSpacing=[0.2, 0.1],
        )
    )
    assert found.facts() == ACQUISITION | {"geometry": {"detector_spacing_m": [0.0002, 0.0001]}}


def test_what_is_no_code_is_left_out():
    name = "DOE^JANE"
    found = acquisition_of(
        header(
            BodyPartExamined=name,
            ImageLaterality=name,
            ViewPosition=name,
            PatientOrientation=[name, "F"],
            PixelSpacing=["0", "nan"],
        )
    )
    assert found == Acquisition()
    assert found.facts() == {}


def test_one_direction_of_two_letters_is_not_two_directions():
    assert acquisition_of(header(PatientOrientation="LF")).orientation is None


def test_a_body_part_may_be_coded_in_snomed():
    region = header(CodeValue="8205005", CodingSchemeDesignator="SCT", CodeMeaning="Wrist")
    assert acquisition_of(header(AnatomicRegionSequence=[region])).body_part == "WRIST"


def test_the_laterality_of_the_series_counts_where_the_image_has_none():
    assert acquisition_of(header(ImageLaterality="", Laterality="R")).laterality == "R"


@pytest.mark.parametrize(
    ("given", "plane"),
    [
        ({"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.12, 0.12]}, "calibrated"),
        ({"PixelSpacing": [0.1, 0.1], "PixelSpacingCalibrationType": "FIDUCIAL"}, "calibrated"),
        ({"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.1, 0.1]}, "detector"),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, "detector"),
        ({"PixelSpacing": [0.1, 0.1]}, "unstated"),
    ],
)
def test_a_spacing_names_the_plane_it_is_measured_in(given: dict[str, object], plane: str):
    found = acquisition_of(header(**given))
    assert (found.pixel_spacing, found.spacing_plane) == ((0.1, 0.1), plane)


@pytest.mark.parametrize(
    ("given", "read"), [("1.3", 1.3), (1, 1.0), ("0.9", None), (7, None), ([1, 2], None)]
)
def test_a_magnification_is_read_within_its_range(given: object, read: float | None):
    geometry = acquisition_of(header(EstimatedRadiographicMagnificationFactor=given)).geometry
    assert geometry.get("magnification") == read


def test_every_code_of_a_body_part_is_one_of_dicoms():
    known = {code for meanings in concepts["SCT"].values() for code in meanings}
    assert {code for code, _ in BODY_PARTS.values()} <= known


def test_the_spacing_of_an_enhanced_object_is_read():
    group = header(PixelMeasuresSequence=[header(PixelSpacing=[0.15, 0.15])])
    acquisition = acquisition_of(header(SharedFunctionalGroupsSequence=[group]))
    assert acquisition.pixel_spacing == (0.15, 0.15)
    assert acquisition.spacing_plane == "unstated"
