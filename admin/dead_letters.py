"""Lists, shows and retries dead letters: `python -m admin.dead_letters list|show JOB|retry JOB ...|--all`."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from admin.command import print_lines, settings_of_command
from admin.history import versions_of
from jobs.lifecycle.manual_retry import retry_job
from jobs.record.errors import Conflict, IllegalMove, NotStored, QueueUnavailable, TransientError
from jobs.record.ids import is_id
from jobs.record.job import Job, moment_text
from jobs.redis.queue import JobQueue
from jobs.settings import SettingsError
from jobs.store.ledger import Ledger
from jobs.store.stores import Stores


def summary_of(job: Job) -> dict[str, Any]:
    """Return what `list` prints of a dead letter: of what the client sent, its name alone."""
    return {
        "id": job.id,
        "client": job.client,
        "error": job.error,
        "attempts": job.attempts,
        "retries": job.retries,
        "created_at": moment_text(job.created_at),
        "finished_at": moment_text(job.finished_at) if job.finished_at else None,
    }


def retry(ledger: Ledger, queue: JobQueue, jobs: Iterable[Job]) -> Iterator[Job | str]:
    """Put dead letters back into their queues; yield each as it is then, or why it is not put back."""
    for job in jobs:
        try:
            retried = retry_job(job, ledger)
        except (IllegalMove, Conflict) as error:
            yield str(error)
            continue
        # Without Redis the job waits in the object store until the sweeper sends it.
        with suppress(QueueUnavailable):
            queue.feed(retried.client, retried.priority)
        yield retried


def main() -> int:
    """Print a line of JSON for each job. Return 1 for a job that is no dead letter, 2 for a wrong setting."""
    parser = argparse.ArgumentParser(prog="python -m admin.dead_letters", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the jobs that failed through no fault of the submission")
    commands.add_parser("show", help="show each version of a job").add_argument("job")
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
        with closing(Stores.connect(settings)) as stores:
            stores.check()
            ledger = stores.ledger
            if arguments.command == "retry":
                return _retry(list(dict.fromkeys(arguments.jobs)), ledger, stores.queue)
            if arguments.command == "list":
                print_lines(map(summary_of, ledger.dead_letters()))
            else:
                print_lines(versions_of(ledger.history(arguments.job)))
    except NotStored as error:
        print(f"there is no job {error}", file=sys.stderr)
        return 1
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _retry(job_ids: Sequence[str], ledger: Ledger, queue: JobQueue) -> int:
    """Retry these jobs, or all dead letters. Print what was done, even if an error ends it."""
    done: list[Job | str] = []
    try:
        # All are read first: where one is missing, none is retried.
        jobs = [ledger.read(job_id) for job_id in job_ids]
        for outcome in retry(ledger, queue, jobs or ledger.dead_letters()):
            done.append(outcome)
    finally:
        refusals = [outcome for outcome in done if isinstance(outcome, str)]
        for refusal in refusals:
            print(refusal, file=sys.stderr)
        print_lines(summary_of(job) for job in done if isinstance(job, Job))
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main())
