"""Measures in a radiograph: lengths and angles between points, each length with the plane in which it holds.

The viewer computes the same numbers of the same points (`measure.js` of the reading room). The report keeps
what this module computes, and its DICOM SR and FHIR state it.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from math import atan2, pi, sqrt
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

from jobs.record.job import ImageFacts

MOST_MM = 1000
"""Millimetres of the largest object that a reader calibrates lengths by."""
_SHORTEST = 5
"""Pixels between the ends of that object: over fewer of them the scale is a guess."""
_POINTS = {"length": 2, "angle": 3, "cobb": 4}
_LINES = {"length": [(0, 1)], "angle": [(1, 0), (1, 2)], "cobb": [(0, 1), (2, 3)]}
"""Of each kind: its lines, by the numbers of their ends."""
_NAMES = {"length": "Length", "angle": "Angle", "cobb": "Cobb angle"}
_PLANES = {"detector": "at detector", "calibrated": "in patient (calibrated)"}

Number = float | int
Point = Annotated[list[float], {"minItems": 2, "maxItems": 2}, "x, y in pixels of the submitted image."]


class Calibration(TypedDict):
    """An object of known size, by which the reader has calibrated lengths. They hold in its plane."""

    mm: Annotated[float, {"exclusiveMinimum": 0, "maximum": MOST_MM}, "Its size in millimetres."]
    ends: Annotated[list[Point], {"minItems": 2, "maxItems": 2}]


class Measurement(TypedDict):
    """A measure of the reader."""

    kind: Literal["length", "angle", "cobb"]
    points: Annotated[
        list[Point],
        {"minItems": 2, "maxItems": 4},
        "The ends: two of a length, three of an angle with its corner second, and four of a Cobb angle, two"
        " of each line.",
    ]
    calibration: NotRequired[
        Annotated[
            Calibration, "Of a length by the reader's own scale. Without it the spacing of the source holds."
        ]
    ]
    value: NotRequired[
        Annotated[
            float,
            {"minimum": 0},
            "As the viewer shows it: to a tenth of a millimetre or degree, or in whole pixels. The service"
            " computes it, and refuses another one.",
        ]
    ]
    unit: NotRequired[
        Annotated[
            Literal["mm", "deg", "{pixels}"],
            "In UCUM. The service computes it: `{pixels}` where there is no scale.",
        ]
    ]
    plane: NotRequired[
        Annotated[
            Literal["calibrated", "detector", "unstated"] | None,
            "Where a length in millimetres holds, as `spacing_plane` of the image says. The service computes"
            " it: null of an angle, and of pixels.",
        ]
    ]


def checked_measurement(
    given: Mapping[str, Any], image: ImageFacts, acquisition: Mapping[str, Any] | None
) -> Measurement:
    """Return the measurement that is `given` for an image, with its value. Raises ValueError, or TypeError.

    `acquisition` is what the source says of the image.
    """
    kind = str(given.get("kind"))
    if kind not in _POINTS:
        raise ValueError(f"the `kind` of a measurement is one of {', '.join(_POINTS)}")
    points = _points(given.get("points"), _POINTS[kind], image)
    if any(points[a] == points[b] for a, b in _LINES[kind]):
        raise ValueError("a measurement has a line whose ends are one point")
    made: dict[str, Any] = {"kind": kind, "points": points}
    spacing, plane = _spacing(acquisition)
    if given.get("calibration") and kind == "length":
        made["calibration"] = checked_calibration(given["calibration"], image)
        spacing, plane = calibrated_spacing(made["calibration"], acquisition), "calibrated"
    value, unit = _value(kind, points, spacing)
    made |= {"value": value, "unit": unit, "plane": plane if unit == "mm" else None}
    measurement = cast(Measurement, made)
    for name in ("value", "unit", "plane"):
        if name in given and given[name] != made[name]:
            raise ValueError(
                f"the `{name}` of a measurement is not that of its points: {text_of(measurement)}"
            )
    return measurement


def checked_calibration(given: Any, image: ImageFacts) -> Calibration:
    """Return the calibration that is `given` for an image. Raises ValueError, or TypeError."""
    if not isinstance(given, Mapping):
        raise ValueError("the `calibration` of a measurement has `mm` and `ends`")
    mm, (a, b) = in_pixels(given.get("mm")), _points(given.get("ends"), 2, image)
    if not 0 < mm <= MOST_MM:
        raise ValueError(f"an object of a calibration has up to {MOST_MM} mm")
    if _length(a, b, (1, 1)) < _SHORTEST:
        raise ValueError(f"the ends of an object of a calibration are at least {_SHORTEST} pixels apart")
    return {"mm": mm, "ends": [a, b]}


def calibrated_spacing(
    calibration: Calibration, acquisition: Mapping[str, Any] | None
) -> tuple[float, float]:
    """Return millimetres between rows and between columns, in the plane of the object.

    The source may say that pixels are no squares; the calibration changes both sides alike.
    """
    rows, columns = _spacing(acquisition)[0] or (1.0, 1.0)
    first, second = calibration["ends"]
    factor = calibration["mm"] / _length(first, second, (rows, columns))
    return float(f"{rows * factor:.6g}"), float(f"{columns * factor:.6g}")


def text_of(measurement: Measurement) -> str:
    """Say a measurement as the viewer does, such as `Length: 41.3 mm at detector`."""
    kind, unit = measurement["kind"], measurement["unit"]
    number = f"{measurement['value']:.{0 if unit == '{pixels}' else 1}f}"
    if unit == "deg":
        return f"{_NAMES[kind]}: {number}°{' Cobb' if kind == 'cobb' else ''}"
    return f"{_NAMES[kind]}: {number} {unit if unit == 'mm' else 'px'} {_where_of(measurement)}"


def _where_of(measurement: Measurement) -> str:
    """Say where a measurement holds; nothing of an angle."""
    if measurement["unit"] == "deg":
        return ""
    if measurement["unit"] == "{pixels}":
        return "(no scale)"
    if "calibration" in measurement:
        return f"in patient (calibrated on {measurement['calibration']['mm']} mm)"
    return _PLANES.get(measurement["plane"] or "", "(plane not stated)")


def in_pixels(given: Any) -> Number:
    """Return a number to three decimals, a whole one without: JSON has it in one form. Raises ValueError."""
    try:
        rounded = round(float(given), 3)
    except OverflowError as error:
        raise ValueError("a number is too large") from error
    return int(rounded) if rounded.is_integer() else rounded


def _points(given: Any, number: int, image: ImageFacts) -> list[list[Number]]:
    points = [[in_pixels(at) for at in point] for point in given or ()]
    if len(points) != number or any(len(point) != 2 for point in points):
        raise ValueError(f"a measurement of this kind has {number} points, each with x and y")
    if not all(0 <= x <= image.width and 0 <= y <= image.height for x, y in points):
        raise ValueError(f"a measurement lies in the image, which has {image.width} x {image.height} pixels")
    return points


def _spacing(acquisition: Mapping[str, Any] | None) -> tuple[Sequence[float] | None, str]:
    """Return millimetres between rows and between columns, as the source gives them, and their plane."""
    known = acquisition or {}
    return known.get("pixel_spacing"), known.get("spacing_plane") or "unstated"


def _step(a: Sequence[Number], b: Sequence[Number], spacing: Sequence[float]) -> tuple[float, float]:
    rows, columns = spacing
    return (b[0] - a[0]) * columns, (b[1] - a[1]) * rows


def _length(a: Sequence[Number], b: Sequence[Number], spacing: Sequence[float]) -> float:
    x, y = _step(a, b, spacing)
    return sqrt(x * x + y * y)  # Each step is exact by IEEE 754, in the viewer too: both get the same bits.


def _value(
    kind: str, points: Sequence[Sequence[Number]], spacing: Sequence[float] | None
) -> tuple[Number, str]:
    """Return the value as it is shown, and its unit."""
    scale = spacing or (1.0, 1.0)
    if kind == "length":
        length = _length(points[0], points[1], scale)
        return (_shown(length, "0.1"), "mm") if spacing else (_shown(length, "1"), "{pixels}")
    (ax, ay), (bx, by) = (_step(points[a], points[b], scale) for a, b in _LINES[kind])
    angle = abs(atan2(ax * by - ay * bx, ax * bx + ay * by)) * 180 / pi
    return _shown(min(angle, 180 - angle) if kind == "cobb" else angle, "0.1"), "deg"


def _shown(value: float, to: str) -> Number:
    """Round half up, as JavaScript does; a whole number has no decimals."""
    return in_pixels(Decimal(value).quantize(Decimal(to), ROUND_HALF_UP))
