"""The numbers of tube, detector and time: each in its range and its unit, and none as text."""

import json
from math import pi

import pytest
from pydicom.dataset import Dataset

from model.decode.dicom import read
from model.decode.dicom_acquisition import acquisition_of
from model.decode.dicom_geometry import geometry_of
from tests import pictures

GIVEN = {
    "DistanceSourceToDetector": "1100.5",
    "DistanceSourceToPatient": "900",
    "EstimatedRadiographicMagnificationFactor": "1.2",
    "ImagerPixelSpacing": [0.143, 0.139],
    "PositionerPrimaryAngle": "-90",
    "PositionerSecondaryAngle": "45",
    "AcquisitionDateTime": "20261128202600.123456",
    "TimezoneOffsetFromUTC": "+0130",
}
KNOWN = {
    "source_to_detector_m": 1.1005,
    "source_to_patient_m": 0.9,
    "magnification": 1.2,
    "detector_spacing_m": pytest.approx([0.000143, 0.000139]),
    "primary_angle_rad": pytest.approx(-pi / 2),
    "secondary_angle_rad": pytest.approx(pi / 4),
    "acquired_at_s": 1_795_892_160.123456,
}
NAME_OF = {
    "DistanceSourceToDetector": "source_to_detector_m",
    "DistanceSourceToPatient": "source_to_patient_m",
    "EstimatedRadiographicMagnificationFactor": "magnification",
    "ImagerPixelSpacing": "detector_spacing_m",
    "PositionerPrimaryAngle": "primary_angle_rad",
    "PositionerSecondaryAngle": "secondary_angle_rad",
}


def header(**values: object) -> Dataset:
    """A header with these values, written without the checks that pydicom makes of its own ones."""
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


class Raw(dict):
    """A header whose values are as damaged as they like."""


def test_what_is_in_its_range_is_carried_in_metres_radians_and_seconds():
    assert geometry_of(header(**GIVEN)) == KNOWN
    assert acquisition_of(header(**GIVEN)).facts()["geometry"] == KNOWN


@pytest.mark.parametrize("keyword", NAME_OF)
@pytest.mark.parametrize(
    "damaged",
    ["DOE^JANE", "", "nan", "inf", "-1e9", "1e9", "1e999", ["1", "2", "3"], [], None, b"\xff", 10**400, {}],
    ids=repr,
)
def test_a_number_that_is_damaged_or_out_of_range_is_missing(keyword: str, damaged: object):
    found = geometry_of(Raw(GIVEN | {keyword: damaged}))  # type: ignore[arg-type]
    assert NAME_OF[keyword] not in found
    assert "DOE" not in json.dumps(found, allow_nan=False)
    assert len(found) >= len(KNOWN) - 1


def test_a_patient_behind_the_detector_is_nowhere():
    assert "source_to_patient_m" not in geometry_of(Raw(GIVEN | {"DistanceSourceToPatient": "1101"}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"AcquisitionDateTime": "20260101000000+0000"}, 1_767_225_600.0),
        ({"AcquisitionDateTime": "20260101000000-0200", "TimezoneOffsetFromUTC": "+0100"}, 1_767_232_800.0),
        (
            {
                "AcquisitionDate": "20260101",
                "AcquisitionTime": "000000.5",
                "TimezoneOffsetFromUTC": "+0000",
            },
            1_767_225_600.5,
        ),
        ({"AcquisitionDate": "20260101", "TimezoneOffsetFromUTC": "+0000"}, None),
        ({"AcquisitionDateTime": "20260101000000", "TimezoneOffsetFromUTC": "DOE^JANE"}, None),
        ({"AcquisitionDateTime": "20261301000000+0000"}, None),
        ({"AcquisitionDateTime": "20260101000000+9900"}, None),
        ({"AcquisitionDateTime": "19000101000000+0000"}, None),
        ({"AcquisitionDateTime": "DOE^JANE"}, None),
    ],
)
def test_a_time_counts_with_its_zone_alone(times: dict, seconds: float | None):
    assert geometry_of(header(**times)) == ({} if seconds is None else {"acquired_at_s": seconds})


def test_a_time_without_a_zone_is_that_of_the_clock_at_the_modality():
    assert geometry_of(header(AcquisitionDateTime="20260101000000.5")) == {
        "acquired_local_s": 1_767_225_600.5
    }


def test_the_numbers_come_out_of_a_file(monkeypatch: pytest.MonkeyPatch):
    found = read(pictures.dicom(pictures.gray(), **GIVEN), lambda *_: None)
    assert found.acquisition.geometry == KNOWN
