"""Makes the FHIR Observations of what a reader has measured, each with the plane in which it holds."""

from typing import Any

from api.readings.wording import MEASURED, UNITS
from api.results.fhir_parts import SNOMED, UCUM, concept
from jobs.reading.measurement import Measurement, text_of


def measured(measurement: Measurement, shared: dict[str, Any]) -> dict[str, Any]:
    """Make the Observation of a measurement. `shared` is what every Observation of the report has."""
    components: list[dict[str, Any]] = []
    ends = [(f"End {number}", point) for number, point in enumerate(measurement["points"], start=1)]
    if measurement["plane"]:
        plane = {"code": {"text": "Plane in which the length holds"}, "valueString": measurement["plane"]}
        components.append(plane)
    if calibration := measurement.get("calibration"):
        size = _quantity(calibration["mm"], "mm")
        components.append({"code": {"text": "Size of the object of the calibration"}, "valueQuantity": size})
        ends += [
            (f"End {number} of the object of the calibration", point)
            for number, point in enumerate(calibration["ends"], start=1)
        ]
    components += [
        {"code": {"text": f"{end}, {axis} in pixels"}, "valueQuantity": _quantity(at, "{pixels}")}
        for end, point in ends
        for axis, at in zip("xy", point, strict=True)
    ]
    return {
        **shared,
        "code": concept(SNOMED, *MEASURED[measurement["kind"]]),
        "valueQuantity": _quantity(measurement["value"], measurement["unit"]),
        "note": [{"text": text_of(measurement)}],
        "component": components,
    }


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": UNITS[unit], "system": UCUM, "code": unit}
