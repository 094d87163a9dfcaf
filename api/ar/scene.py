"""Makes the scene of a radiograph: a plane of its true size, frames around the regions, and a ruler.

The unit is the metre; +X is the right of the image, +Y its top, +Z leads to the viewer, and the origin is the
centre of the image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np

from api.ar.captions import draw_back, draw_label
from api.ar.scale import Scale
from jobs.record.job import Job
from model.prediction import Outline

NOT_FOR_DIAGNOSIS = "not for diagnosis"
_RULER_MM = 50
_LABEL_MM = (50.0, 12.0)
"""Width and height of the text below the ruler."""
_LONGEST_LINE = 60
_IN_FRONT, _LINE, _FAINT_LINE = 1.0, 0.5, 0.25
"""Millimetres: of the frames before the plane, and of their lines, at the upper operating point and below."""
_BELOW = 4.0
"""Millimetres between the image and the ruler."""
_TICK, _LONG_TICK, _TICK_WIDTH = 2.0, 4.0, 0.2
_YELLOW, _WHITE = (255, 205, 90), (236, 238, 240)
Quads = np.ndarray
"""Corners of rectangles (n, 4, 3) in metres: counter-clockwise from the lower left, seen from the front."""


@dataclass(frozen=True)
class Part:
    """Rectangles of one look: a colour of sRGB, or a PNG that fills each of them."""

    name: str
    quads: Quads
    colour: tuple[int, int, int] = (255, 255, 255)
    picture: bytes | None = None
    extras: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Group:
    """Parts that are shown and hidden together, by the name of the group."""

    name: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Scene:
    """All groups, and what the file says of them."""

    groups: Sequence[Group]
    facts: Mapping[str, Any]


def scene_of(
    job: Job, scale: Scale, overlay: bytes, outlines: Sequence[Outline], facts: Mapping[str, Any]
) -> Scene:
    """Make the scene of a succeeded job. `overlay` is a PNG of its radiograph, `outlines` are its regions."""
    between_rows, between_columns = scale.spacing
    width, height = job.image.width * between_columns, job.image.height * between_rows
    right, top = width / 2, height / 2
    plane = _quad(-right, -top, right, top)
    groups = [
        Group(
            "radiograph",
            (
                Part("picture", plane, picture=overlay),
                # Seen from behind: a plane with one side alone would not be there.
                Part("back", plane[:, [1, 0, 3, 2]], picture=draw_back(width, height)),
            ),
        )
    ]
    frames = []
    for number, outline in enumerate(outlines, start=1):
        x, y, wide, high = outline.box
        box = (x * between_columns - right, top - (y + high) * between_rows)
        size = (wide * between_columns, high * between_rows)
        quads = np.concatenate(list(_frame(*box, *size, _LINE if outline.solid else _FAINT_LINE)))
        said = {"score": outline.score, "box_px": list(outline.box)}
        frames.append(Part(f"region_{number}", quads, _YELLOW, extras=said))
    if frames:
        groups.append(Group("regions", frames))
    groups.append(Group("ruler", _ruler(-top - _BELOW, scale)))
    return Scene(groups, facts)


def _quad(left: float, bottom: float, right: float, top: float, z: float = 0.0) -> Quads:
    corners = [[left, bottom, z], [right, bottom, z], [right, top, z], [left, top, z]]
    return np.array([corners], float) / 1000


def _frame(left: float, bottom: float, width: float, height: float, line: float) -> Iterator[Quads]:
    """Draw a line around a box, outside of it."""
    right, top, z = left + width, bottom + height, _IN_FRONT
    yield _quad(left - line, top, right + line, top + line, z)
    yield _quad(left - line, bottom - line, right + line, bottom, z)
    yield _quad(left - line, bottom, left, top, z)
    yield _quad(right, bottom, right + line, top, z)


def _ruler(top: float, scale: Scale) -> tuple[Part, Part]:
    """Draw a ruler of 50 mm below `top`, with a tick for each millimetre, and its text."""
    left, half = -_RULER_MM / 2, _TICK_WIDTH / 2
    quads = [_quad(left - half, top - _TICK_WIDTH, half - left, top)]
    for millimetre in range(_RULER_MM + 1):
        x, length = left + millimetre, _LONG_TICK if millimetre % 10 == 0 else _TICK
        quads.append(_quad(x - half, top - length, x + half, top - _TICK_WIDTH))
    wide, high = _LABEL_MM
    label = _quad(-wide / 2, top - _LONG_TICK - high, wide / 2, top - _LONG_TICK)
    lines = (f"{_RULER_MM} mm", *wrap(scale.says, _LONGEST_LINE), NOT_FOR_DIAGNOSIS)
    text = draw_label(lines, _LABEL_MM)
    return Part("ticks", np.concatenate(quads), _WHITE), Part("label", label, picture=text)
