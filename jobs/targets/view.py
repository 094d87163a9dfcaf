"""Makes a job's camera of what the header of its source says."""

from dataclasses import dataclass
from typing import Any

from jobs.geometry.camera import Camera, Vector
from jobs.geometry.depth import depth_interval_m, plane_interval_m
from jobs.geometry.directions import beam_of_angles, beam_of_view, handedness
from jobs.geometry.two_views import Placed
from jobs.record.job import Job
from jobs.targets.states import BlockingReason

_MAGNIFICATIONS = (1.0, 5.0)
"""The limits of a magnification, without the first: exactly 1 is what devices write that know none."""
_DIGITS = 1e-6


@dataclass(frozen=True)
class View:
    """What is known of one picture: the depths along the central ray, and its place where angles give it."""

    camera: Camera
    depth_m: tuple[float, float]
    plane_known: bool
    placed: Placed | None


def view_of(job: Job) -> tuple[View | None, list[BlockingReason]]:
    """Return the view that a job's radiograph is, or None and what is not known of it."""
    acquisition = job.acquisition or {}
    numbers: dict[str, Any] = acquisition.get("geometry") or {}
    if (numbers.get("magnification") or 0) <= _MAGNIFICATIONS[0]:
        numbers = numbers | {"magnification": None}
    distance_m = numbers.get("source_to_detector_m")
    spacing_m, magnification = _spacing(acquisition, numbers)
    orientation = _pair(acquisition.get("orientation"))
    beam = _beam(acquisition, numbers)
    turned = handedness(beam, orientation) if beam is not None and orientation else None
    missing = [
        reason
        for reason, known in (
            (BlockingReason.SOURCE_DISTANCE_UNKNOWN, distance_m),
            (BlockingReason.SPACING_UNKNOWN, spacing_m),
            (BlockingReason.HANDEDNESS_UNKNOWN, turned),
        )
        if not known
    ]
    if not distance_m or not spacing_m or not turned:
        return None, missing
    width, height = job.image.width, job.image.height
    camera = Camera(
        source_to_detector_m=distance_m,
        row_spacing_m=spacing_m[0],
        column_spacing_m=spacing_m[1],
        width_px=width,
        height_px=height,
        principal_px=(width / 2, height / 2),
        mirrored=turned == "mirrored",
    )
    return View(
        camera, *_depth(numbers, distance_m, magnification), _placed(camera, numbers, orientation)
    ), []


def _spacing(
    acquisition: dict[str, Any], numbers: dict[str, Any]
) -> tuple[tuple[float, float] | None, float | None]:
    """Return the spacing on the detector, and the magnification of a plane for which one was calibrated."""
    given = _pair(acquisition.get("pixel_spacing"))
    plane = acquisition.get("spacing_plane")
    on_detector = _pair(numbers.get("detector_spacing_m"))
    if given and plane == "detector":
        return on_detector or (given[0] / 1000, given[1] / 1000), None
    if not given or plane != "calibrated":
        return on_detector, None
    estimated = numbers.get("magnification")
    if on_detector:
        magnification = (on_detector[0] / given[0] + on_detector[1] / given[1]) * 500
        least, most = _MAGNIFICATIONS
        # Spacings that are the same but for their digits are of the detector, both.
        return on_detector, magnification if least + _DIGITS < magnification <= most else None
    if estimated:
        return (given[0] * estimated / 1000, given[1] * estimated / 1000), estimated
    return None, None


def _depth(
    numbers: dict[str, Any], distance_m: float, magnification: float | None
) -> tuple[tuple[float, float], bool]:
    if magnification:
        return plane_interval_m(distance_m, magnification), True
    estimated = numbers.get("magnification")
    to_patient_m = numbers.get("source_to_patient_m") or (estimated and distance_m / estimated)
    return depth_interval_m(distance_m, to_patient_m), False


def _beam(acquisition: dict[str, Any], numbers: dict[str, Any]) -> Vector | None:
    primary, secondary = numbers.get("primary_angle_rad"), numbers.get("secondary_angle_rad")
    if primary is not None and secondary is not None:
        return beam_of_angles(primary, secondary)
    return beam_of_view(acquisition.get("view"))


def _placed(camera: Camera, numbers: dict[str, Any], orientation: tuple[str, str] | None) -> Placed | None:
    names = ("primary_angle_rad", "secondary_angle_rad", "source_to_patient_m")
    primary_rad, secondary_rad, isocentre_m = (numbers.get(name) for name in names)
    if primary_rad is None or secondary_rad is None or isocentre_m is None or orientation is None:
        return None
    return Placed(camera, primary_rad, secondary_rad, isocentre_m, orientation)


def _pair(values: Any) -> tuple[Any, Any] | None:
    return (values[0], values[1]) if values else None
