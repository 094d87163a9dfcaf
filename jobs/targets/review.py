"""Says what the signed reports of a job mean for its targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.reading.disagreement import same_place, undecided
from jobs.reading.reading import Reading
from jobs.reading.states import ReadingState
from jobs.targets.states import BlockingReason, TargetState

_TOLD = ("signed", "amended")
"""The changes of a reading that are told as new targets."""


@dataclass(frozen=True)
class Review:
    """The signed reading that decides, if any, and whether an arbitration may still decide otherwise."""

    reading: Reading | None = None
    arbitration_open: bool = False
    told: int = 0
    """How many signed versions of reports there were, of all readings."""

    def of(self, box: Sequence[float]) -> tuple[TargetState, BlockingReason | None]:
        """Return what the reports say of a region: its state but for place and time, and what blocks it."""
        if self.reading is None:
            return TargetState.ADVISORY, BlockingReason.NOT_REVIEWED
        if self.reading.state is ReadingState.AMENDED:
            return TargetState.WITHDRAWN, BlockingReason.REPORT_AMENDED
        if self.arbitration_open:
            return TargetState.ADVISORY, BlockingReason.ARBITRATION_OPEN
        report = self.reading.reports[-1]["report"]
        finding, sites = report["finding"], report["sites"]
        if finding not in ("fracture", "no_fracture"):
            return TargetState.ADVISORY, BlockingReason.REPORT_NOT_SURE
        if any(_middle_within(site, box) for site in sites):
            return TargetState.REVIEWED, None
        if finding == "no_fracture" or (sites and not any(same_place(site, box) for site in sites)):
            return TargetState.REJECTED, BlockingReason.REPORT_REJECTS
        return TargetState.ADVISORY, BlockingReason.SITE_NOT_CONFIRMED


def review_of(readings: Sequence[Reading]) -> Review:
    """Return what the readings of a job say together: the report that was signed or amended last decides."""
    signed = [reading for reading in readings if reading.reports]
    return Review(
        max(signed, key=lambda reading: str(reading.reports[-1]["at"]), default=None),
        # Also one that was returned, or is not requested yet, has decided nothing.
        undecided(readings) or any(reading.arbitrates and reading.state.open for reading in readings),
        sum(entry["type"] in _TOLD for reading in readings for entry in reading.history),
    )


def _middle_within(site: dict[str, Any], box: Sequence[float]) -> bool:
    x, y, width, height = box
    if "point" in site:
        at_x, at_y = site["point"]
    else:
        left, top, wide, high = site["box"]
        at_x, at_y = left + wide / 2, top + high / 2
    return bool(x <= at_x <= x + width and y <= at_y <= y + height)
