"""Writes down when a run's test part is opened: a part that one looks at twice is no test any more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from training.whole_file import write_json

OPENINGS = "openings.json"


class AlreadyOpened(RuntimeError):
    """The test part has been opened for another network; says what to do."""


def note_opening(run: Path, division: str, network: str, again: bool) -> int:
    """Note that a network is about to be tested; return for how many this division's test part has been.

    The same network may be measured as often as one likes. AlreadyOpened for another one, unless `again`.
    """
    path = run / OPENINGS
    openings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    of_division = [opening for opening in openings if opening["division"] == division]
    if network in {opening["network"] for opening in of_division}:
        return len(of_division)
    if of_division and not again:
        raise AlreadyOpened(
            f"The test part of {run} was opened for another network on {of_division[-1]['at']}. Divide the "
            "data anew (training.prepare --seed) and train again, or open it once more with --again: report "
            "and card will say how often that was done."
        )
    opening = {
        "division": division,
        "network": network,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(path, [*openings, opening])
    return len(of_division) + 1
