"""Measurements of a report: their numbers, units and planes, and what is refused."""

from typing import Any

import pytest

from jobs.reading.measurement import calibrated_spacing, checked_measurement, text_of
from jobs.reading.report import MOST_MEASUREMENTS, ReportInvalid, canonical, checked_report
from jobs.record.job import ImageFacts

IMAGE = ImageFacts(sha256="0" * 64, width=300, height=200, format="DICOM", size=1)
UNEQUAL = [0.5, 0.25]
"""Millimetres between rows, and between columns."""
BALL = {"mm": 25, "ends": [[10, 10], [10, 60]]}
LENGTH = {"kind": "length", "points": [[0, 0], [120, 80]]}
BY_BALL, BY_HALF = (LENGTH | {"calibration": BALL | {"mm": mm}} for mm in (25, 12.5))
ANGLE = {"kind": "angle", "points": [[100, 0], [0, 0], [0, 50]]}
COBB = {"kind": "cobb", "points": [[0, 0], [100, 0], [100, 100], [0, 50]]}


def measured(given: dict[str, Any], plane: str | None = "detector", spacing: Any = UNEQUAL) -> dict[str, Any]:
    acquisition = {"pixel_spacing": spacing, "spacing_plane": plane} if plane else None
    return {**checked_measurement(given, IMAGE, acquisition)}


@pytest.mark.parametrize(
    ("given", "plane", "text", "unit", "known"),
    [
        (LENGTH, "detector", "Length: 50.0 mm at detector", "mm", "detector"),
        (LENGTH, "calibrated", "Length: 50.0 mm in patient (calibrated)", "mm", "calibrated"),
        (LENGTH, "unstated", "Length: 50.0 mm (plane not stated)", "mm", "unstated"),
        (LENGTH, None, "Length: 144 px (no scale)", "{pixels}", None),
        (BY_BALL, None, "Length: 72.1 mm in patient (calibrated on 25 mm)", "mm", "calibrated"),
        (BY_HALF, "detector", "Length: 25.0 mm in patient (calibrated on 12.5 mm)", "mm", "calibrated"),
        (ANGLE, "detector", "Angle: 90.0°", "deg", None),
        (ANGLE | {"calibration": BALL}, None, "Angle: 90.0°", "deg", None),
        (COBB, "detector", "Cobb angle: 45.0° Cobb", "deg", None),
        (COBB, None, "Cobb angle: 26.6° Cobb", "deg", None),
    ],
)
def test_a_measurement_has_a_unit_and_names_its_plane(
    given: dict, plane: str | None, text: str, unit: str, known: str | None
):
    made = measured(given, plane)
    assert (text_of(made), made["unit"], made["plane"]) == (text, unit, known)  # type: ignore[arg-type]


def test_a_half_is_rounded_up_as_in_the_viewer():
    assert measured({"kind": "length", "points": [[0, 0], [165, 0]]})["value"] == 41.3, "41.25"
    assert measured({"kind": "length", "points": [[0, 0], [2.5, 0]]}, None)["value"] == 3


def test_a_calibration_changes_both_sides_of_a_pixel_alike():
    rows, columns = calibrated_spacing(BALL, {"pixel_spacing": UNEQUAL})  # type: ignore[arg-type]
    assert (rows, columns) == (0.5, 0.25)
    assert calibrated_spacing(BALL, None) == (0.5, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [LENGTH, ANGLE, COBB, BY_BALL])
def test_a_measurement_that_is_checked_again_stays_as_it_is(given: dict):
    odd = given | {"points": [[x + 0.1234567, y + 1 / 3] for x, y in given["points"]]}
    once = measured(odd)
    assert measured(once) == once
    assert canonical(once) == canonical(measured(once))


WRONG = [
    ({"kind": "area"}, "length, angle, cobb"),
    ({"kind": []}, "length, angle, cobb"),
    ({"points": [[0, 0]]}, "2 points"),
    ({"points": [[0, 0], [1, 1], [2, 2]]}, "2 points"),
    ({"points": [[0, 0, 0], [1, 1]]}, "x and y"),
    ({"points": [[0, 0], [300.1, 1]]}, "300 x 200"),
    ({"points": [[-0.1, 0], [1, 1]]}, "300 x 200"),
    ({"points": [[float("nan"), 0], [1, 1]]}, "300 x 200"),
    ({"points": [[10**400, 0], [1, 1]]}, "too large"),
    ({"points": [[7, 7], [7.0001, 7]]}, "one point"),
    ({"points": 7}, "not iterable"),
    ({"calibration": BALL | {"mm": 0}}, "1000 mm"),
    ({"calibration": BALL | {"mm": 1000.1}}, "1000 mm"),
    ({"calibration": BALL | {"mm": float("inf")}}, "1000 mm"),
    ({"calibration": BALL | {"ends": [[1, 1], [4, 1]]}}, "5 pixels"),
    ({"calibration": BALL | {"ends": [[1, 1], [1, 201]]}}, "300 x 200"),
    ({"calibration": ["mm"]}, "`mm` and `ends`"),
    ({"value": 51}, "`value`.*50.0 mm at detector"),
    ({"unit": "{pixels}"}, "`unit`"),
    ({"plane": "calibrated"}, "`plane`"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_a_measurement_that_cannot_be_is_refused(wrong: dict, said: str):
    given = {"finding": "no_fracture", "measurements": [LENGTH, LENGTH | wrong]}
    with pytest.raises(ReportInvalid, match=said):
        checked_report(given, IMAGE, {"pixel_spacing": UNEQUAL, "spacing_plane": "detector"})


def test_a_report_has_so_many_measurements_and_none_if_none_is_given():
    report = {"finding": "no_fracture", "measurements": [LENGTH] * MOST_MEASUREMENTS}
    assert len(checked_report(report, IMAGE)["measurements"]) == MOST_MEASUREMENTS
    with pytest.raises(ReportInvalid, match="`measurements` takes 20"):
        checked_report(report | {"measurements": [LENGTH] * (MOST_MEASUREMENTS + 1)}, IMAGE)
    assert "measurements" not in checked_report({"finding": "no_fracture", "measurements": []}, IMAGE)
