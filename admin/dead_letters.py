"""What was given up, for the operator: `python -m admin.dead_letters list|show JOB|retry JOB ...|--all`."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from admin.command import settings_of_command, tell
from jobs.record.errors import Conflict, IllegalMove, NotStored, QueueUnavailable, TransientError
from jobs.record.ids import is_id
from jobs.record.job import Job, moment_text
from jobs.redis.queue import JobQueue
from jobs.settings import SettingsError
from jobs.store.ledger import Ledger
from jobs.store.stores import Stores


def told(job: Job) -> dict[str, Any]:
    """What an operator is told of a dead letter; nothing that the client sent beside its name."""
    return {
        "id": job.id,
        "client": job.client,
        "error": job.error,
        "attempts": job.attempts,
        "retries": job.retries,
        "created_at": moment_text(job.created_at),
        "finished_at": moment_text(job.finished_at) if job.finished_at else None,
    }


def why(ledger: Ledger, job_id: str) -> Iterator[dict[str, Any]]:
    """Each version of a job: its state, who ran it since when, and the error. Raises NotStored."""
    for job in ledger.history(job_id):
        since = job.finished_at or job.started_at or job.queued_at
        yield {
            "version": job.version,
            "state": job.state,
            "at": moment_text(since),
            "runner": job.runner,
            "attempts": job.attempts,
            "error": job.error,
        }


def retry(ledger: Ledger, queue: JobQueue, jobs: Iterable[Job]) -> Iterator[Job | str]:
    """Put dead letters back into their lines: each as it is then, or why it is not put back."""
    for job in jobs:
        try:
            retried = ledger.retry(job)
        except (IllegalMove, Conflict) as error:
            yield str(error)
            continue
        # Without Redis it waits in the object store, and the sweeper sees to it.
        with suppress(QueueUnavailable):
            queue.feed(retried.client, retried.priority)
        yield retried


def main() -> int:
    """Print one line of JSON for each job; 1 where a job is no dead letter, 2 for a wrong setting or id."""
    parser = argparse.ArgumentParser(prog="python -m admin.dead_letters", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what was given up through no fault of the submission")
    commands.add_parser("show", help="how a job came to its end").add_argument("job")
    again = commands.add_parser("retry", help="put jobs back into the queue")
    again.add_argument("jobs", nargs="*", metavar="job")
    again.add_argument("--all", action="store_true", help="every dead letter")
    arguments = parser.parse_args()
    named = getattr(arguments, "jobs", None) or [getattr(arguments, "job", None)]
    if arguments.command == "retry" and bool(arguments.jobs) == arguments.all:
        parser.error("retry takes the ids of jobs, or --all")
    if wrong := [job_id for job_id in named if job_id and not is_id("job", job_id)]:
        parser.error(f"not a job's id: {wrong[0]}")
    try:
        settings = settings_of_command()
        stores = Stores.connect(settings)
        stores.check()
        ledger = stores.ledger
        if arguments.command == "retry":
            return _retry(arguments.jobs, ledger, stores.queue)
        tell(map(told, ledger.dead_letters()) if arguments.command == "list" else why(ledger, arguments.job))
    except NotStored as error:
        print(f"there is no job {error}", file=sys.stderr)
        return 1
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _retry(job_ids: Sequence[str], ledger: Ledger, queue: JobQueue) -> int:
    """Retry these jobs, or all dead letters, and then tell what was done, whatever ended it."""
    done: list[Job | str] = []
    try:
        # All are read first: where one is not there, none is retried.
        jobs = [ledger.read(job_id) for job_id in job_ids]
        for outcome in retry(ledger, queue, jobs or ledger.dead_letters()):
            done.append(outcome)
    finally:
        refused = [said for said in done if isinstance(said, str)]
        for said in refused:
            print(said, file=sys.stderr)
        tell(told(job) for job in done if isinstance(job, Job))
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
