"""Kills the master of three Redis servers under sentinels: `python -m tests.chaos.failover [--jobs N]`."""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

from redis.exceptions import RedisError

from jobs.redis.client import connect
from stack.part import Command
from tests.chaos.__main__ import HEAD, MANY_JOBS, Trial, attempt, faults_of, line
from tests.chaos.sentinels import Sentinels
from tests.chaos.service import Service

SECONDS = 300
"""From the kill to the end of the last job: clients go on submitting meanwhile."""


class ServiceOverSentinels(Service):
    """The service, whose Redis is found by sentinels."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self._addresses = replace(self._addresses, redis_url=url)
        self.redis_url = url

    def _worker(self, environment: Mapping[str, str], name: str) -> Command:
        redis = connect(self.redis_url)
        role = name.partition("-")[0]

        def beats(pid: int) -> bool:
            try:
                alive = redis.zrange("alive", 0, -1)
            except RedisError:
                return False
            return any(one.startswith(f"{role}:".encode()) and f":{pid}:".encode() in one for one in alive)

        return replace(super()._worker(dict(environment), name), answers=beats)


def main() -> int:
    """Run the trial; 1 means that it showed what must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.failover", description=__doc__)
    parser.add_argument("--jobs", type=int, default=MANY_JOBS, metavar="N", help=f"({MANY_JOBS})")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osteo-failover-") as name:
        folder = Path(name)
        servers, service = folder / "servers", folder / "service"
        servers.mkdir()
        service.mkdir()
        with Sentinels(servers) as sentinels, ServiceOverSentinels(service, sentinels.url) as over:

            def master_killed(_: Service, enough: Event) -> float:
                enough.wait()
                return sentinels.kill_master()

            trial = Trial(
                "Redis' master killed, three sentinels", master_killed, arguments.jobs, seconds=SECONDS
            )
            row = attempt(over, trial, 0)
    print(HEAD, line([row]), sep="\n")
    wrong = faults_of(row, trial)
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
