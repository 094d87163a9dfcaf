"""Compares what a reader committed with what the model answered."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypedDict, cast

from jobs.reading.reading import Reading

LEAST_OVERLAP = 0.1
"""Least intersection over union at which a site and a region are the same place."""
GRADES = ("1", "2a", "2b", "3a", "3b")
"""RADPEER: 1 agree, 2 an understandable miss, 3 a miss that should not happen; b: likely to matter."""
ARBITRATED = frozenset({"2b", "3a", "3b"})
"""The grades after which another reader decides."""

Kind = Literal["none", "missed", "overcalled", "location", "not_comparable"]


class Disagreement(TypedDict):
    """How the model's answer and the committed finding differ."""

    kind: Annotated[
        Kind,
        "`missed`: the reader alone finds a fracture. `overcalled`: the model alone does. `location`: both"
        " do, at other places. `not_comparable`: either is not sure, or there is no answer.",
    ]
    grade: Annotated[
        Literal["1", "2a", "2b", "3a", "3b"] | None, "The reader's grade of the model's answer, by RADPEER."
    ]


def disagreement(finding: str, sites: Sequence[dict[str, Any]], result: dict[str, Any] | None) -> Kind:
    """Return how a committed finding with its sites and the model's `result` differ."""
    if result is None or result["finding"] == "indeterminate" or finding not in ("fracture", "no_fracture"):
        return "not_comparable"
    if finding != result["finding"]:
        return "missed" if finding == "fracture" else "overcalled"
    boxes = [region["box"] for region in result["regions"]]
    if finding == "no_fracture" or not sites or not boxes:
        return "none"
    return "none" if any(same_place(site, box) for site in sites for box in boxes) else "location"


def graded(kind: str, grade: str | None) -> Disagreement:
    """Return the disagreement with the reader's grade of it."""
    return cast(Disagreement, {"kind": kind, "grade": grade})


def calls_for_another(reading: Reading) -> bool:
    """Return whether a reading is signed with a grade for which another reader decides."""
    # An arbitration decides: it is not arbitrated again.
    grade = (reading.disagreement or {}).get("grade")
    return not reading.arbitrates and bool(reading.reports) and grade in ARBITRATED


def undecided(readings: Sequence[Reading]) -> bool:
    """Return whether a reading of a job calls for another reader, and no arbitration of it is signed."""
    contested = {one.id for one in readings if calls_for_another(one)}
    return bool(contested - {one.arbitrates for one in readings if one.reports})


def same_place(site: dict[str, Any], box: Sequence[float]) -> bool:
    """Return whether a site of a reader and a region of the model are the same place.

    A point has to lie in the region, or beside it by half of its size at most: regions are often smaller than
    what a finger hits. A box has to overlap with the region, or to have the region's middle in it.
    """
    x, y, width, height = box
    if "point" in site:
        at_x, at_y = site["point"]
        return bool(abs(at_x - x - width / 2) <= width and abs(at_y - y - height / 2) <= height)
    left, top, wide, high = site["box"]
    across = max(0.0, min(x + width, left + wide) - max(x, left))
    down = max(0.0, min(y + height, top + high) - max(y, top))
    shared = across * down
    overlap = shared / (width * height + wide * high - shared)
    middle = 0 <= x + width / 2 - left <= wide and 0 <= y + height / 2 - top <= high
    return bool(middle or overlap >= LEAST_OVERLAP)
