"""Chooses what a model may learn of a job from its readings, or says why it may learn nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.reading.disagreement import undecided
from jobs.reading.reading import Reading


class NoLabel(ValueError):
    """The readings of a job give no label. The message says why, and is counted."""


@dataclass(frozen=True)
class Label:
    """What was signed of a job last.

    `first`: the reading whose reader compared the model's answer. `last`: the one whose report counts, which
    is another where the first was arbitrated.
    """

    first: Reading
    last: Reading

    @property
    def fractured(self) -> bool:
        """Whether the report that counts finds a fracture."""
        return bool(self.report["finding"] == "fracture")

    @property
    def report(self) -> dict[str, Any]:
        """The report that counts: the last signed version."""
        report: dict[str, Any] = self.last.reports[-1]["report"]
        return report

    @property
    def seconds(self) -> int:
        """Seconds from the claim of the reading that counts to its first signature."""
        signed_at = datetime.fromisoformat(self.last.reports[0]["at"])
        return round((signed_at - (self.last.claimed_at or signed_at)).total_seconds())


def label_of(readings: Sequence[Reading]) -> Label:
    """Return the label that the readings of a job give. Raises NoLabel.

    An arbitration counts before the reading that it decides. While a disagreement waits for its arbitration,
    there is no label.
    """
    signed = [reading for reading in readings if reading.reports]
    first = [reading for reading in signed if not reading.arbitrates]
    if not first:
        raise NoLabel("no signed reading")
    if undecided(readings):
        raise NoLabel("an arbitration is not signed")
    last = max([one for one in signed if one.arbitrates] or first, key=_signed_at)
    label = Label(max(first, key=_signed_at), last)
    if (finding := label.report["finding"]) not in ("fracture", "no_fracture"):
        raise NoLabel(finding)
    return label


def _signed_at(reading: Reading) -> str:
    return str(reading.reports[-1]["at"])
