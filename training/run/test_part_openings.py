"""Records each opening of a run's test part: a part that is measured on twice is no test any more."""

import json
from datetime import UTC, datetime
from pathlib import Path

from model.bundle import Bundle, read_metrics
from training.run.atomic_file import write_json
from training.run.errors import StepRefused

OPENINGS = "openings.json"


class AlreadyOpened(StepRefused):
    """The test part has been opened for another network; says what to do."""


def record_opening(run: Path, division: str, network: str, again: bool) -> int:
    """Record that a network is about to be tested; return how many networks this test part was opened for.

    The same network may be measured any number of times. Raises AlreadyOpened for another, unless `again`.
    """
    openings = _read(run)
    of_division = [opening for opening in openings if opening["division"] == division]
    if network in {opening["network"] for opening in of_division}:
        return len(of_division)
    if of_division and not again:
        raise AlreadyOpened(
            f"The test part of {run} was opened for another network ({of_division[-1]['at']}). Divide the "
            "data anew (training.prepare --seed) and train again, or open it once more with --again: report "
            "and card will say how often that was done."
        )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(run / OPENINGS, [*openings, {"division": division, "network": network, "at": at}])
    return len(of_division) + 1


def inherit_openings(run: Path, division: str, bundle: Bundle) -> None:
    """Record the openings for a bundle of this division that a network begins with.

    The figures of a tested bundle are known: the test part is not fresh for a network that begins with it.
    """
    if division_learned_by(bundle) != division:
        return
    openings = _read(run)
    known = {opening["network"] for opening in openings}
    at = f"when {bundle.description.version} was tested"
    for number in range(read_metrics(bundle)["openings_of_the_test_part"]):
        network = f"{bundle.sha256[:16]} {number}"
        if network not in known:
            openings.append({"division": division, "network": network, "at": at})
    write_json(run / OPENINGS, openings)


def division_learned_by(bundle: Bundle) -> str | None:
    """Read which division a bundle has learned from; None where it does not say."""
    division: str | None = read_metrics(bundle).get("data", {}).get("division")
    return division


def _read(run: Path) -> list[dict[str, str]]:
    path = run / OPENINGS
    openings: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return openings
