"""Tries to lose a job, and prints what it found: `python -m tests.chaos [--seeds N] [--only TEXT]`."""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import faults
from tests.chaos.neighbour import Hostility, tried
from tests.chaos.service import Service
from tests.chaos.stand_in import DEADLY, HANGING, image
from tests.chaos.trials import Fault, Row, run
from tests.chaos.windows import WINDOWS

JOBS = 50
MANY_JOBS = 2000
WORKER_KILLS = 5
RECOVERY_SECONDS = 30
"""Seconds that a killed process may delay a job."""
OUTAGE_SECONDS = 60
"""Seconds that may pass after an outage: locks whose answers were lost run out."""
NEIGHBOUR_SECONDS = 1
"""Seconds that a hostile neighbour may add to a submission, a result and a callback."""

HEAD = (
    "| What broke | Trials | Accepted | Ended | Lost | Overwritten | Run twice | Callbacks missing"
    " | Called twice | Refused meanwhile | Slowest answer | Recovery |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True)
class Trial:
    """What breaks, or which neighbour there is, under how many jobs; `poison` of them may fail, no other."""

    name: str
    fault: Fault
    jobs: int = JOBS
    poison: tuple[bytes, ...] = ()
    seconds: float = RECOVERY_SECONDS
    neighbour: Hostility | None = None


def trials(seed: int) -> Iterator[Trial]:
    """List every trial, with the random choices of this `seed`."""
    chance = random.Random(seed)
    yield Trial("nothing", faults.nothing)
    for window in WINDOWS:
        yield Trial(f"{window.role} killed {window.name}", faults.killed_in(window))
    yield Trial("worker told to stop (SIGTERM)", faults.worker_told_to_stop)
    yield Trial("shadow worker killed", faults.shadow_killed)
    yield Trial("shadow worker frozen", faults.shadow_frozen)
    yield Trial("shadow's bundle raises", faults.shadow_raises)
    yield Trial("Redis killed", faults.redis_killed, seconds=OUTAGE_SECONDS)
    yield Trial("Redis frozen", faults.redis_frozen, seconds=OUTAGE_SECONDS)
    yield Trial("Redis wiped", faults.redis_wiped, seconds=OUTAGE_SECONDS)
    yield Trial("Redis full", faults.redis_full, seconds=OUTAGE_SECONDS)
    yield Trial("Redis fails over", faults.redis_fails_over, seconds=OUTAGE_SECONDS)
    yield Trial("S3 killed", faults.s3_killed, seconds=OUTAGE_SECONDS)
    yield Trial("S3 answers 500", faults.s3_fails("broken"), seconds=OUTAGE_SECONDS)
    yield Trial("S3 denies access", faults.s3_fails("denied"), seconds=OUTAGE_SECONDS)
    yield Trial("S3's disk is full", faults.s3_fails("full"), seconds=OUTAGE_SECONDS)
    yield Trial("S3 is slow", faults.s3_fails("slow", seen=False), seconds=OUTAGE_SECONDS)
    yield Trial("a hostile neighbour", faults.nothing, 10, seconds=NEIGHBOUR_SECONDS, neighbour=Hostility())
    # Three attempts, each with a new worker: what a poison image costs is its own time.
    yield Trial("an image that kills its worker", faults.nothing, poison=(image(DEADLY),), seconds=180)
    yield Trial("an image that hangs its worker", faults.nothing, poison=(image(HANGING),), seconds=180)
    if seed == 0:
        kills = faults.workers_killed(WORKER_KILLS, 8.0, chance)
        yield Trial(f"{WORKER_KILLS} workers killed", kills, MANY_JOBS, seconds=180)


def attempt(service: Service, trial: Trial, seed: int) -> Row:
    """Run one trial; `seed` says when it breaks, and where the poison stands."""
    if trial.neighbour:
        return tried(service, trial.name, trial.jobs, trial.neighbour)
    chance = random.Random(f"{seed} {trial.name}")
    images = [image()] * (trial.jobs - len(trial.poison)) + list(trial.poison)
    chance.shuffle(images)
    return run(service, trial.name, images, chance.randint(1, trial.jobs * 3 // 5), trial.fault)


def faults_of(row: Row, trial: Trial) -> list[str]:
    """List what a row shows and must not."""
    return [
        what
        for what, wrong in {
            f"{row.lost} jobs lost": row.lost,
            f"{row.overwritten} results overwritten": row.overwritten,
            f"{row.missing} callbacks missing": row.missing,
            f"{row.failed} jobs failed, not {len(trial.poison)}": row.failed != len(trial.poison),
            f"recovery took {row.recovery:.0f} s": row.recovery > trial.seconds,
        }.items()
        if wrong
    ]


def line(rows: list[Row]) -> str:
    """Make one line of the table for all trials of a kind: sums, and the longest times."""
    sums = [
        sum(values)
        for values in zip(
            *(
                (r.accepted, r.ended, r.lost, r.overwritten, r.again, r.missing, r.called_again, r.refused)
                for r in rows
            ),
            strict=True,
        )
    ]
    cells = [rows[0].name, len(rows), *sums]
    times = [f"{max(row.slowest for row in rows):.1f} s", f"{max(row.recovery for row in rows):.1f} s"]
    return "| " + " | ".join([*map(str, cells), *times]) + " |"


def main() -> int:
    """Run the trials; 1 means that one of them showed what must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trials of each kind (3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only trials with this in their name")
    arguments = parser.parse_args()
    rows: dict[str, list[Row]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="osteo-chaos-") as folder, Service(Path(folder)) as service:
        for seed in range(arguments.seeds):
            for trial in trials(seed):
                if arguments.only not in trial.name:
                    continue
                row = attempt(service, trial, seed)
                rows.setdefault(trial.name, []).append(row)
                print(line([row]), file=sys.stderr, flush=True)
                wrong += [f"{trial.name}, seed {seed}: {what}" for what in faults_of(row, trial)]
    print(HEAD)
    for kind in rows.values():
        print(line(kind))
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
