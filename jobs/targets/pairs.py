"""Finds which region of another view of the study shows the same place, where only one can."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.targets.place import Box, Place, place_by_two
from jobs.targets.view import View


@dataclass(frozen=True)
class OtherView:
    """Another view of the same study: the id of its job, and the boxes of its targets."""

    job: str
    view: View
    boxes: tuple[Box, ...]


def seen_by_two(
    number: int, boxes: Sequence[Box], view: View, others: Iterable[OtherView]
) -> tuple[Place, str] | None:
    """Return where two views see the box of this number, and the job of the other one; None where none does.

    Two boxes belong together only where neither fits any other: a wrong pair would be a wrong place. Of
    several views the one counts whose rays miss by the least.
    """
    found = []
    for other in others:
        fits = [
            (other_number, place)
            for other_number, other_box in enumerate(other.boxes)
            if (place := place_by_two(boxes[number], view, other_box, other.view))
        ]
        if len(fits) != 1:
            continue
        ((other_number, place),) = fits
        rivals = (box for rival, box in enumerate(boxes) if rival != number)
        if not any(place_by_two(box, view, other.boxes[other_number], other.view) for box in rivals):
            found.append((place, other.job))
    return min(found, key=lambda one: one[0].residual_m or 0.0, default=None)
