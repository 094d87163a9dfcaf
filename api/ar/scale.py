"""Says how large a radiograph is in millimetres, in which plane that holds, and how wrong it may be."""

from dataclasses import dataclass
from typing import Any

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.record.job import Job

LARGEST_ASSUMED = 100.0
"""Millimetres between pixels; the header of an image, too, says less."""
_MOST_MAGNIFIED = 1.25
"""A bone 200 mm before the detector, at a distance of 1 m between tube and detector."""
_OFF_PLANE = 0.05
"""A bone 50 mm before or behind the plane that was calibrated, 1 m from the tube."""


@dataclass(frozen=True)
class Scale:
    """The size of a pixel, and what is known of it.

    `spacing` is millimetres between rows and between columns, `plane` where it holds: "calibrated" (in the
    patient), "detector", "unstated" or "assumed". A length in the patient is one of the scene times a factor
    from `least` to `most`, which are None where nothing was measured. `magnification` is what the spacing of
    the detector was divided by; None where it was not.
    """

    spacing: tuple[float, float]
    plane: str
    least: float | None
    most: float | None
    says: str
    magnification: float | None = None

    def facts(self) -> dict[str, Any]:
        """List what a file says of its scale, for JSON."""
        divided = {} if self.magnification is None else {"magnification": self.magnification}
        return {
            "spacing_mm": list(self.spacing),
            "spacing_plane": self.plane,
            "scale_uncertainty": {"least": self.least, "most": self.most, "says": self.says},
            "assumed": self.plane == "assumed",
            **divided,
        }


def scale_of(job: Job, assumed: float | None) -> Scale:
    """Return the scale of a job's radiograph.

    `assumed` is millimetres between pixels, for an image without a spacing. Raises Problem: 409 for an image
    without a spacing where none is assumed, 400 where one is assumed for an image that has its own.
    """
    acquisition = job.acquisition or {}
    given = acquisition.get("pixel_spacing")
    if given is None:
        if assumed is None:
            detail = (
                "The image says no distance between its pixels, so its size is unknown. Send DICOM with a"
            )
            detail += " spacing, or name one by `assume_mm`; the file then says that it was assumed."
            raise Problem(Slug.SCALE_UNKNOWN, detail)
        says = "The size was assumed by the request, and measured by nothing."
        return Scale((assumed, assumed), "assumed", None, None, says)
    if assumed is not None:
        raise Problem(Slug.MALFORMED, "The image has a spacing of its own: leave `assume_mm` out.")
    spacing, plane = (given[0], given[1]), acquisition["spacing_plane"]
    factor = acquisition.get("geometry", {}).get("magnification", 1.0)
    # A factor of exactly 1 is what devices write that know none.
    if plane == "detector" and factor > 1:
        rows, columns = spacing
        return _calibrated((rows / factor, columns / factor), factor)
    if plane == "calibrated":
        return _calibrated(spacing)
    least, larger = 1 / _MOST_MAGNIFIED, f"up to {100 * (_MOST_MAGNIFIED - 1):g} % larger than in the patient"
    if plane == "detector":
        return Scale(spacing, plane, least, 1.0, f"Lengths are those on the detector: {larger}.")
    says = f"The source does not say in which plane lengths hold: perhaps on the detector, {larger}."
    return Scale(spacing, plane, least, 1 + _OFF_PLANE, says)


def assumed_spacing(text: str | None) -> float | None:
    """Read `assume_mm` of a query; None where it is absent. Raises Problem 400."""
    if text is None:
        return None
    assumed = number_of(text)
    if assumed is None or not 0 < assumed < LARGEST_ASSUMED:
        detail = f"assume_mm is millimetres between pixels: above 0, below {LARGEST_ASSUMED:g}."
        raise Problem(Slug.MALFORMED, detail)
    return assumed


def number_of(text: str) -> float | None:
    """Read a number; None for a text that is none."""
    try:
        return float(text)
    except ValueError:
        return None


def _calibrated(spacing: tuple[float, float], magnification: float | None = None) -> Scale:
    says = f"Lengths are those in the calibrated plane of the patient: ± {100 * _OFF_PLANE:g} % off it."
    return Scale(spacing, "calibrated", 1 - _OFF_PLANE, 1 + _OFF_PLANE, says, magnification)
