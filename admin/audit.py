"""Prints the acts of a client or a reader: `python -m admin.audit --client NAME --since TIME`."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from admin.command import print_lines, settings_of_command
from jobs.record.errors import NotStored, QueueUnavailable, TransientError
from jobs.record.ids import made_at
from jobs.record.job import moment_text
from jobs.settings import SettingsError
from jobs.store.audit import Audit
from jobs.store.ledger import Ledger
from jobs.store.stores import Stores

_SUBMITTED = "submitJob"
_SUBMITTING = {_SUBMITTED, "submitJobAs", "submitStudy", "storeInstances", "storeInstancesOfStudy"}


def acts_of(audit: Audit, ledger: Ledger, client: str, since: datetime) -> Iterator[dict[str, Any]]:
    """Return the acts of a client since then, oldest first, and each job that only the ledger has.

    The jobs of a study are of its one act. Raises StoreUnavailable.
    """
    known: set[str] = set()
    for entry in audit.entries(since):
        if entry["client"] == client:
            if entry["action"] in _SUBMITTING:
                known.add(entry["subject"])
            yield entry
    newer = takewhile(lambda job_id: made_at(job_id) >= since, ledger.of_client(client, None))
    for job_id in reversed([job_id for job_id in newer if job_id not in known]):
        with suppress(NotStored):
            job = ledger.read(job_id)
            if job.study in known:
                continue
            at = moment_text(job.created_at)
            yield {"client": client, "action": _SUBMITTED, "key": job.key, "subject": job_id, "at": at}


def acts_of_reader(audit: Audit, reader_id: str, since: datetime) -> Iterator[dict[str, Any]]:
    """Return the acts of a reader since then, oldest first, for whichever client. Raises StoreUnavailable."""
    return (entry for entry in audit.entries(since) if entry.get("reader") == reader_id)


def main() -> int:
    """Print the acts of one client or reader. Return 2 for a wrong setting or no answer."""
    parser = argparse.ArgumentParser(prog="python -m admin.audit", description=__doc__)
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--client")
    whose.add_argument("--reader", help="the id of a reader")
    parser.add_argument("--since", required=True, type=_moment, help="ISO 8601, in UTC unless it has a zone")
    arguments = parser.parse_args()
    try:
        settings = settings_of_command()
        with closing(Stores.connect(settings)) as stores:
            stores.check()
            with suppress(QueueUnavailable):  # Then no new entry is there either.
                stores.audit.carry_over()
            if arguments.reader:
                print_lines(acts_of_reader(stores.audit, arguments.reader, arguments.since))
            else:
                print_lines(acts_of(stores.audit, stores.ledger, arguments.client, arguments.since))
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
