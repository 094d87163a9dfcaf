"""Finds what in an X-ray makes the answer less reliable, for the `warnings` of a result. No TensorFlow."""

from dataclasses import dataclass

import numpy as np

from model.exposed_field import ExposedField

UNUSUAL, DISPLAY, SMALL, DIM, CLIPPED, CUT_OFF = (
    "unusual-image",
    "display-setting-ignored",
    "small-image",
    "low-contrast",
    "clipped",
    "cut-off",
)
_SMALL_SIDE = 200
"""Pixels on the longer side of the field under which fine fractures are gone."""
_FEWEST_LEVELS = 48
_CLIPPED_SHARE, _CUT_OFF_SHARE = 0.12, 0.08


@dataclass(frozen=True)
class ImageWarning:
    """One warning: `type` is stable, `detail` is a sentence for the sender of the X-ray."""

    type: str
    detail: str


UNUSUAL_IMAGE = ImageWarning(
    UNUSUAL,
    "The image may be no X-ray of a limb, shoulder or hip, or is unlike those that the model has learned "
    "from. Do not rely on the answer.",
)


def find_warnings(pixels: np.ndarray, field: ExposedField) -> tuple[ImageWarning, ...]:
    """List the warnings about uint8 (height, width), of which `field` was exposed."""
    inside = field.cut(pixels)
    warnings = []
    if max(field.width, field.height) < _SMALL_SIDE:
        warnings.append(
            ImageWarning(
                SMALL,
                f"The exposed field is {field.width} x {field.height} pixels; under {_SMALL_SIDE} pixels "
                "fine fractures are not visible. Send the full image.",
            )
        )
    if field.bright - field.dark < _FEWEST_LEVELS:
        warnings.append(
            ImageWarning(
                DIM,
                f"The image uses {field.bright - field.dark:.0f} of 256 gray levels. Send it with its full "
                "contrast, or as DICOM.",
            )
        )
    if _is_clipped(inside, field):
        warnings.append(
            ImageWarning(
                CLIPPED,
                "A large part of the exposed field is of the brightest gray: bone may be overexposed or the "
                "window too narrow. Send it with another window, or as DICOM.",
            )
        )
    if _is_cut_off(pixels):
        warnings.append(
            ImageWarning(
                CUT_OFF,
                "The lower part of the image is a single gray: it may have been cut off on its way. "
                "Check that a viewer shows all of it.",
            )
        )
    return tuple(warnings)


def _is_clipped(inside: np.ndarray, field: ExposedField) -> bool:
    """Whether bone is lost in white, or in black where the picture is a negative."""
    end = inside.min() if field.negative else inside.max()
    return bool(np.count_nonzero(inside == end) > _CLIPPED_SHARE * inside.size)


def _is_cut_off(pixels: np.ndarray) -> bool:
    """Whether the last rows are one gray between black and white, as decoders fill what is missing."""
    height = max(1, round(len(pixels) * _CUT_OFF_SHARE))
    last = pixels[-height:]
    return bool(last.min() == last.max() and 40 < int(last[0, 0]) < 215)
