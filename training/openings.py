"""Writes down when a run's test part is opened: a part that one looks at twice is no test any more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

OPENINGS = "openings.json"


class AlreadyOpened(RuntimeError):
    """The test part has been opened for another network; says what to do."""


def note_opening(run: Path, fingerprint: str, again: bool) -> int:
    """Note that the network `fingerprint` is about to be tested; return for how many networks it has been.

    The same network may be measured as often as one likes. AlreadyOpened for another one, unless `again`.
    """
    path = run / OPENINGS
    openings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if fingerprint not in {opening["network"] for opening in openings}:
        if openings and not again:
            raise AlreadyOpened(
                f"The test part of {run} was opened for another network on {openings[-1]['at']}. Divide the "
                "data anew (training.prepare --seed), or open it once more with --again: report and card "
                "will say how often that was done."
            )
        openings.append({"network": fingerprint, "at": datetime.now(UTC).isoformat(timespec="seconds")})
        path.write_text(json.dumps(openings, indent=2) + "\n", encoding="utf-8")
    return len(openings)
