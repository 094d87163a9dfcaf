"""Finds the two tags of a marker sheet in a picture, where the service has the detector."""

from collections.abc import Callable
from importlib.util import find_spec

from api.ar.marker import MARKER_ID, SECOND_ID
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.geometry.homography import Matrix
from model.decode_processes.pool import AprilTags


def check_detector() -> None:
    """Raise Problem 415 where the service has no detector, as on LinuxONE."""
    if find_spec("pyapriltags") is None:
        detail = "This service has no detector of markers. Find the corners yourself, and send them as JSON."
        raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE, detail)


def find_sheet(find: Callable[[tuple[int, ...]], AprilTags]) -> tuple[AprilTags, list[Matrix], list[Matrix]]:
    """Return what `find` finds of both tags, and the (4, 2) corners of each marker and each second tag."""
    tags = find((MARKER_ID, SECOND_ID))
    marker, second = (
        [corners for number, corners in tags.found if number == wanted] for wanted in (MARKER_ID, SECOND_ID)
    )
    return tags, marker, second
