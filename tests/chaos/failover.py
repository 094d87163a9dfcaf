"""Kills the master of three Redis servers under sentinels: `python -m tests.chaos.failover [--jobs N]`.

Sentinels and servers are reached by TLS alone. Each role is a user of its own, with the rights of the page.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from threading import Event

from redis.exceptions import RedisError

from jobs.redis.client import connect
from stack import answers
from stack.part import Command
from tests.chaos.__main__ import HEAD, MANY_JOBS, Trial, attempt, faults_of, line
from tests.chaos.sentinels import MISSING, PROGRAM, Sentinels
from tests.chaos.service import Service

SECONDS = 300
"""From the kill to the end of the last job: clients go on submitting meanwhile."""


class ServiceOverSentinels(Service):
    """The service, whose roles find Redis by sentinels, each as its own user."""

    def __init__(self, folder: Path, sentinels: Sentinels) -> None:
        super().__init__(folder)
        self._sentinels = sentinels
        # The commands, and what the trial itself reads of Redis, have the user of the API.
        self.redis_url = sentinels.url("api")
        self._addresses = replace(self._addresses, redis_url=self.redis_url)

    def _environment(self) -> dict[str, str]:
        # No analysis hangs here, and on a machine with other work one may take longer than a trial allows.
        return super()._environment() | {"OSTEO_ANALYSIS_SECONDS": "60"}

    def _python(
        self, name: str, environment: dict[str, str], answer: answers.Question, *module: str
    ) -> Command:
        url = self._sentinels.url(name.partition("-")[0])
        return super()._python(name, environment | {"REDIS_URL": url}, answer, *module)

    def _worker(self, environment: dict[str, str], name: str) -> Command:
        redis = connect(self.redis_url)
        role = name.partition("-")[0]

        def beats(pid: int) -> bool:
            try:
                alive = redis.zrange("alive", 0, -1)
            except RedisError:
                return False
            return any(one.startswith(f"{role}:".encode()) and f":{pid}:".encode() in one for one in alive)

        return replace(super()._worker(environment, name), answers=beats)


def master_killed(sentinels: Sentinels, jobs: int) -> Trial:
    """Return the trial that kills the master under so many jobs."""

    def kill(_: Service, enough: Event) -> float:
        enough.wait()
        return sentinels.kill_master()

    return Trial("Redis' master killed, three sentinels, TLS, a user a role", kill, jobs, seconds=SECONDS)


def main() -> int:
    """Run the trial; 1 means that it showed what must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.failover", description=__doc__)
    parser.add_argument("--jobs", type=int, default=MANY_JOBS, metavar="N", help=f"({MANY_JOBS})")
    arguments = parser.parse_args()
    if PROGRAM is None:
        print(MISSING, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="osteo-failover-") as name:
        folder = Path(name)
        servers, service = folder / "servers", folder / "service"
        servers.mkdir()
        service.mkdir()
        with Sentinels(servers) as sentinels, ServiceOverSentinels(service, sentinels) as over:
            trial = master_killed(sentinels, arguments.jobs)
            row = attempt(over, trial, 0)
    print(HEAD, line([row]), sep="\n")
    wrong = faults_of(row, trial)
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
