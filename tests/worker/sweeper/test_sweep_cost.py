"""Tests the cost of a round of the sweeper, in requests and commands: the same on any machine."""

from collections import Counter
from datetime import timedelta

import pytest

from jobs.record.job import now
from tests.conftest import a_job
from tests.jobs.store.requests import watch
from worker.sweeper.reconcile import reconcile
from worker.sweeper.sweep import Sweeper, sweep

JOBS = 60
LATER = timedelta(hours=10)


@pytest.fixture
def sweeper(ledger, queue) -> Sweeper:
    return Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))


def waiting_for_a_late_callback(ledger, client: str):
    """Return a job whose receiver did not answer, and whose callback is due again in some hours."""
    job = a_job(client, callback_url=f"https://{client}.example/")
    ledger.mark(job)
    ended = job.started("w", now()).succeeded({"finding": "fracture"}, now())
    ledger.view.put(ended.delivery_begun(now() + LATER))
    return job


@pytest.fixture
def cost_of(ledger, redis):
    """Count the requests of one call to both stores, commands of scripts included."""
    requests: list[str] = []
    watch(ledger.objects, lambda action, key: requests.append(f"{action} {key}"))

    def cost(work, *arguments) -> tuple[Counter[str], dict[str, int]]:
        requests.clear()
        redis.config_resetstat()
        work(*arguments)
        stats = redis.info("commandstats")
        asked = {name: entry["calls"] for name, entry in stats.items() if "config" not in name}
        return Counter(requests), asked

    return cost


def test_a_round_costs_the_same_however_many_jobs_wait(sweeper, ledger, cost_of):
    sweep(sweeper)  # Scripts are loaded.
    alone = cost_of(sweep, sweeper)
    for number in range(JOBS):
        waiting_for_a_late_callback(ledger, f"clinic-{number % 20}")
    for _ in range(2):
        sweep(sweeper)  # Recent changes are checked.
    beside = cost_of(sweep, sweeper)
    assert beside == alone
    # One listing for what Redis has missed, one for the store's time.
    assert alone[0] == {"ListBucket unseen/": 1, "ListBucket pending/": 1}
    assert sum(alone[1].values()) < 50


def test_a_reconciliation_asks_for_no_job_that_the_agenda_has(sweeper, ledger, cost_of):
    for number in range(JOBS):
        waiting_for_a_late_callback(ledger, f"clinic-{number % 20}")
    reconcile(sweeper)
    requests, commands = cost_of(reconcile, sweeper)
    assert requests == {"ListBucket pending/": 1, "ListBucket readings/queue/": 1}
    assert commands.pop("cmdstat_zscore") == JOBS
    assert sum(commands.values()) < 50
