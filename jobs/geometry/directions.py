"""Directions in the patient: of the central ray, and of the rows and columns of a picture.

Vectors have the axes of DICOM's patient: x to the left, y to the back, z to the head.
"""

from typing import Literal

import numpy as np

from jobs.geometry.camera import Vector

Handedness = Literal["from_tube", "mirrored"]
_LETTERS = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
_VIEWS = {"AP": "P", "PA": "A", "LL": "L", "RL": "R"}
"""Where the central ray of a view goes to. Of oblique views, and of a patient on a side, it is open."""
_CLEAR = 0.5
"""Least cosine at which two directions are the same one."""


def direction_of(letters: str) -> Vector:
    """Return the direction, of length 1, that letters of Patient Orientation name; the first counts most."""
    summed = sum(np.array(_LETTERS[letter], float) / 3**place for place, letter in enumerate(letters))
    return np.asarray(summed / np.linalg.norm(summed))


def beam_of_view(view: str | None) -> Vector | None:
    """Return where the central ray of a View Position goes to; None where that does not say it."""
    return direction_of(_VIEWS[view]) if view in _VIEWS else None


def beam_of_angles(primary_rad: float, secondary_rad: float) -> Vector:
    """Return where the central ray goes to at these positioner angles (LAO and CRA are positive)."""
    return np.array(
        [
            np.sin(primary_rad) * np.cos(secondary_rad),
            -np.cos(primary_rad) * np.cos(secondary_rad),
            np.sin(secondary_rad),
        ]
    )


def axes_of_angles(
    primary_rad: float, secondary_rad: float, orientation: tuple[str, str]
) -> tuple[Vector, Vector] | None:
    """Return where x and y of a picture run to that was taken at these angles; None where that is not clear.

    `orientation` has the letters of rows (x) and columns (y): they tell apart the turns and mirrorings.
    """
    side = np.array([np.cos(primary_rad), np.sin(primary_rad), 0.0])
    up = np.array(
        [
            -np.sin(primary_rad) * np.sin(secondary_rad),
            np.cos(primary_rad) * np.sin(secondary_rad),
            np.cos(secondary_rad),
        ]
    )
    found = []
    for letters in orientation:
        named = direction_of(letters)
        signed = [sign * axis for axis in (side, up) for sign in (1, -1)]
        best = max(signed, key=lambda axis: float(axis @ named))
        if best @ named < _CLEAR:
            return None
        found.append(best)
    x, y = found
    return None if abs(x @ y) > _CLEAR else (x, y)


def handedness(beam: Vector, orientation: tuple[str, str]) -> Handedness | None:
    """Return whether a picture is as seen from the tube, or mirrored; None where that is open."""
    x, y = (direction_of(letters) for letters in orientation)
    turned = float(np.cross(x, y) @ beam)
    if abs(turned) < _CLEAR:
        return None
    return "from_tube" if turned > 0 else "mirrored"


def quaternion_of(rotation: Vector) -> list[float]:
    """Return a 3 x 3 rotation as x, y, z, w of a quaternion of length 1, with w of 0 or more."""
    # The eigenvector of the greatest eigenvalue (Bar-Itzhack 2000) is exact near half turns, too.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    best = np.linalg.eigh(symmetric)[1][:, -1]
    return [float(part) for part in (best if best[3] >= 0 else -best)]
