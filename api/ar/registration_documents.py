"""Defines what a client sends of a marker before its camera, and how the answer says where it stands."""

from typing import Annotated, Literal, TypedDict

from jobs.record.documents import MOMENT

_FARTHEST_PX = 100_000
_PIXEL = {"minimum": -_FARTHEST_PX, "maximum": _FARTHEST_PX}
_FOCAL = {"minimum": 10, "maximum": 1_000_000}
_SIDE = {"minimum": 1, "maximum": _FARTHEST_PX}
_TWO, _THREE = {"minItems": 2, "maxItems": 2}, {"minItems": 3, "maxItems": 3}
_FOUR = {"minItems": 4, "maxItems": 4}

_POINT = {"type": "array", **_TWO, "items": {"type": "number", **_PIXEL}}
_CORNERS = {**_FOUR, "items": _POINT}
_MATRIX = {**_FOUR, "items": {"type": "array", **_FOUR, "items": {"type": "number"}}}


class _Marker(TypedDict):
    marker_mm: Annotated[
        float,
        {"minimum": 5, "maximum": 1000},
        "The side of the marker's black square, as its sheet states it.",
    ]


class _Print(_Marker, total=False):
    ruler_mm: Annotated[
        float,
        {"minimum": 50, "maximum": 200},
        "The length of the sheet's ruler as measured on the print: 100 where the printer scaled nothing.",
    ]


class MarkerView(_Print, total=False):
    """The print of a marker and the camera before it: `fx_px` to `cy_px`, or `horizontal_fov_deg`."""

    fx_px: Annotated[float, _FOCAL, "The focal length, in pixels."]
    fy_px: Annotated[float, _FOCAL]
    cx_px: Annotated[float, _PIXEL, "The principal point: OpenCV's, plus 0.5."]
    cy_px: Annotated[float, _PIXEL]
    horizontal_fov_deg: Annotated[
        float,
        {"minimum": 5, "maximum": 150},
        "The angle between the left and the right side of the picture. The principal point is its middle.",
    ]


class _Seen(MarkerView):
    corners_px: Annotated[
        list[list[float]],
        _CORNERS,
        "x and y of the upper left, upper right, lower right and lower left corner of the black square."
        " (0, 0) is the upper left corner of the upper left pixel.",
    ]


class RegistrationOrder(_Seen, total=False):
    """The corners of a marker, as the client has found them."""

    second_corners_px: Annotated[
        list[list[float]],
        _CORNERS,
        "The same of the small tag of the sheet: its size tells for which size the sheet was drawn.",
    ]
    width_px: Annotated[int, _SIDE, "Of the picture; with `horizontal_fov_deg`."]
    height_px: Annotated[int, _SIDE, "Of the picture; with `horizontal_fov_deg`."]


class RegistrationForm(MarkerView):
    """A photograph of a marker, in which the service finds the corners."""

    photograph: Annotated[bytes, "JPEG, at most 12 megapixels. Its pixels are taken as stored, without EXIF."]


class CameraModel(TypedDict):
    """The camera, as stated by the request."""

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float


class PoseDocument(TypedDict):
    """One place of the marker before the camera."""

    camera_from_marker: Annotated[
        list[list[float]],
        _MATRIX,
        "4 x 4, row by row, in metres: from the frame of the marker (origin in the middle of the square, x to"
        " its right, y to its top, z out of the sheet) to that of the camera (x right, y down, z forward).",
    ]
    reprojection_px: Annotated[float, "Root mean square distance between the corners and those of this pose."]
    sigma_m: Annotated[
        list[float],
        _THREE,
        "Standard deviations of the position along the axes of the camera: of the corners and of the print."
        " The camera is taken to be as stated.",
    ]
    sigma_rad: Annotated[list[float], _THREE, "Of small turns about the axes of the camera."]


class SizeCheck(TypedDict):
    """For which size the sheet was drawn, as its second tag shows it."""

    marker_mm: float
    sigma_mm: float


class _Registered(TypedDict):
    job: str
    at: Annotated[str, MOMENT, "When these numbers were first registered."]
    revision: Annotated[int, {"minimum": 1}, "Grows by one with each registration that differs."]
    marker_mm: float
    ruler_mm: float | None
    corners_px: Annotated[list[list[float]], _CORNERS]


class RegistrationDocument(PoseDocument, _Registered):
    """Where a marker stood before a camera. The photograph is not kept."""

    source: Literal["corners", "photograph"]
    alternative: Annotated[
        PoseDocument | None,
        "The other pose, where the corners fit both: the marker may lie in either. null where they do not.",
    ]
    size_check: Annotated[SizeCheck | None, "null where the second tag was not seen, or too small."]
    camera: CameraModel
    second_corners_px: Annotated[list[list[float]] | None, _CORNERS]


class FilmRegistrationOrder(_Print, total=False):
    """The sheet whose tags the radiograph shows in lead; with both corners, as the client has found them."""

    corners_px: Annotated[
        list[list[float]],
        _CORNERS,
        "x and y of the upper left, upper right, lower right and lower left corner of the printed marker, in"
        " pixels of the radiograph. (0, 0) is the upper left corner of the upper left pixel.",
    ]
    second_corners_px: Annotated[list[list[float]], _CORNERS, "The same of the second tag."]


class ComposedPose(TypedDict):
    """Tube and patient before the camera of the photograph, by the sheet that both have seen."""

    matrix: Annotated[
        list[list[float]],
        _MATRIX,
        "4 x 4, in metres: from the frame `source` of the targets to the camera's.",
    ]
    sigma_m: Annotated[list[float], _THREE, "Of the focal spot, along the axes of the camera."]
    sigma_rad: Annotated[list[float], _THREE, "Of small turns about the axes of the camera."]
    photograph_at: Annotated[str, MOMENT, "When the photograph, or its corners, were registered."]


class FilmPose(TypedDict):
    """Where the sheet may have lain when the radiograph was taken."""

    source_from_marker: Annotated[
        list[list[float]],
        _MATRIX,
        "4 x 4, row by row, in metres: from the frame of the marker, which is the frame `patient` of the"
        " targets, to their frame `source`.",
    ]
    reprojection_px: Annotated[float, "Root mean square distance between the corners and those of this pose."]
    sigma_m: Annotated[
        list[float],
        _THREE,
        "Standard deviations of the position along the axes of `source`: of the corners, the print, the"
        " distance of the tube, the spacing and the principal point.",
    ]
    sigma_rad: Annotated[list[float], _THREE, "Of small turns about the axes of `source`."]


class FilmRegistrationDocument(FilmPose, _Registered):
    """Where a sheet with lead tags lay when the radiograph was taken."""

    source: Literal["corners", "radiograph"]
    alternative: Annotated[
        FilmPose | None,
        "The other pose where the corners fit two: either may be the true one, and the targets then have no"
        " frame `patient`. Else null.",
    ]
    sigma_px: Annotated[float, "Standard deviation of a coordinate of a corner."]
    faces: Annotated[Literal["tube", "detector"], "To which side the printed face of the sheet looked."]
    size_check: Annotated[SizeCheck | None, "null where the second tag is shown too small to tell."]
    second_corners_px: Annotated[list[list[float]], _CORNERS]
    camera_from_source: Annotated[
        ComposedPose | None,
        "null unless the same sheet is registered before a camera, too, with one pose that fits.",
    ]
