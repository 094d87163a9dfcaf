"""Cuts off hosts of one service: `python -m tests.chaos.partition [--jobs N] [--seconds S] [--only TEXT]`.

It needs root. Two API hosts and three worker hosts are network namespaces of this machine.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from tests.chaos.__main__ import HEAD, Trial, faults_of, line
from tests.chaos.faults import nothing
from tests.chaos.hosts import API_HOSTS, ROLES, WORKER_HOSTS, ClientOfHosts, ServiceOnHosts
from tests.chaos.network import Network, enter_hub, may_have_networks
from tests.chaos.service import Service
from tests.chaos.stand_in import image
from tests.chaos.trials import Fault, Row, run

JOBS = 600
CUT_SECONDS = 60.0
RECOVERY_SECONDS = 300
"""From the end of the cut to the end of the last job: clients go on submitting meanwhile."""
DELAY, LOSS = 0.05, 0.05
"""Seconds each way, and the share of packets that is lost each way."""
NEEDS = "this needs root, /dev/net/tun, and Debian's iproute2 and util-linux, to make network namespaces"


@dataclass(frozen=True)
class Parting:
    """A trial, and in which weather it runs."""

    trial: Trial
    weather: Callable[[Network], AbstractContextManager[None]] = lambda _: nullcontext()


def cut_off(seconds: float, *hosts: int) -> Fault:
    """Cut these hosts off for so long, which a worker host's heartbeats must not outlast."""

    def fault(service: Service, enough: Event) -> float:
        assert isinstance(service, ServiceOnHosts)
        workers = [host for host in hosts if host in WORKER_HOSTS]
        enough.wait()
        with service.network.cut_off(*hosts):
            time.sleep(seconds)
            heard = [host for host in workers if service.beating(host)]
        assert not heard, f"hosts that are cut off have a heartbeat: {heard}"
        mended = time.monotonic()
        while any(service.beating(host) < len(ROLES) for host in workers):
            assert time.monotonic() - mended < RECOVERY_SECONDS, "a host that was cut off does not come back"
            time.sleep(0.1)
        return mended

    return fault


def partings(jobs: int, seconds: float) -> Iterator[Parting]:
    """List every trial."""

    def cut(name: str, *hosts: int) -> Parting:
        return Parting(
            Trial(
                f"{name} cut off for {seconds:.0f} s",
                cut_off(seconds, *hosts),
                jobs,
                seconds=RECOVERY_SECONDS,
            )
        )

    yield cut("worker host", WORKER_HOSTS[0])
    yield cut("API host", API_HOSTS[0])
    yield cut("worker and API host", WORKER_HOSTS[0], API_HOSTS[0])
    name = f"{DELAY * 2000:.0f} ms, and {LOSS:.0%} of packets lost"
    yield Parting(
        Trial(name, nothing, jobs, seconds=float("inf")),
        weather=lambda network: network.bad(DELAY, LOSS),
    )


def tried(service: ServiceOnHosts, parting: Parting) -> tuple[Row, list[str]]:
    """Run one trial; return its row, and what it has shown and must not."""
    trial, client = parting.trial, ClientOfHosts(service)
    before = set(service.ledger.of_client("chaos", None))
    with parting.weather(service.network):
        row = run(service, trial.name, [image()] * trial.jobs, trial.jobs // 5, trial.fault, client)
    made = set(service.ledger.of_client("chaos", None)) - before
    wrong = {
        f"{len(made)} jobs of {trial.jobs} submissions": made != set(client.accepted)
        or len(made) != trial.jobs,
        "callbacks contradict the job": contradictions(service, client.accepted),
    }
    return row, [*faults_of(row, trial), *(what for what, is_so in wrong.items() if is_so)]


def contradictions(service: ServiceOnHosts, accepted: list[str]) -> list[str]:
    """List the jobs of which a callback said something else than the service says now."""
    return [
        job.id
        for job in service.ledger.current_many(accepted)
        for callback in service.receiver.of(job.id)
        if callback.job["result"] != job.result
    ]


def main() -> int:
    """Run the trials; 1 means that one of them showed what must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.partition", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"of each trial ({JOBS})")
    parser.add_argument(
        "--seconds",
        type=float,
        default=CUT_SECONDS,
        metavar="S",
        help=f"that a cut lasts ({CUT_SECONDS:.0f})",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only trials that begin with this")
    arguments = parser.parse_args()
    if not may_have_networks():
        print(NEEDS, file=sys.stderr)
        return 2
    enter_hub()
    rows: list[Row] = []
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="osteo-partition-") as folder,
        Network(len(API_HOSTS) + len(WORKER_HOSTS)) as network,
        ServiceOnHosts(Path(folder), network) as service,
    ):
        if service.write_given_up_arrives():
            wrong.append("a write of a host that was cut off arrived after it was given up")
        for parting in partings(arguments.jobs, arguments.seconds):
            if parting.trial.name.startswith(arguments.only):
                before = network.packets()
                row, faults = tried(service, parting)
                rows.append(row)
                wrong += [f"{row.name}: {fault}" for fault in faults]
                print(
                    line([row]),
                    dict(network.packets() - before),
                    *faults,
                    sep="\n",
                    file=sys.stderr,
                    flush=True,
                )
    print(HEAD, *(line([row]) for row in rows), sep="\n")
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
