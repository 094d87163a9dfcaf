from datetime import timedelta

import pytest

from jobs.record.states import Delivery, Priority
from jobs.redis.answer_times import BUCKETS, answer_times
from tests.conftest import a_job


def counted(ledger) -> tuple[dict[str, float], float]:
    buckets, seconds = answer_times(ledger.view.counts(), Priority.STAT)
    return dict(buckets), seconds


def run(ledger, end, after: float, **changes):
    """Show a stat job from its submission until `end` makes its end of it, so many seconds later."""
    job = a_job(priority=Priority.STAT, **changes)
    started = job.started("w", job.created_at)
    ended = end(started, job.created_at + timedelta(seconds=after))
    for version in (job, started, ended):
        ledger.view.put(version)
    return ended


def test_a_result_and_a_refusal_are_counted_in_their_buckets(ledger):
    run(ledger, lambda job, at: job.succeeded({}, at), 30)
    run(ledger, lambda job, at: job.failed("not-a-radiograph", "It is none.", at), 30.5)
    buckets, seconds = counted(ledger)
    assert (buckets["20.0"], buckets["30.0"], buckets["60.0"], buckets["+Inf"]) == (0, 1, 2, 2)
    assert seconds == pytest.approx(60.5)
    assert list(buckets) == [*(f"{float(bound)}" for bound in BUCKETS), "+Inf"]


@pytest.mark.parametrize("error", ["worker-lost", "internal-error"])
def test_a_job_that_was_given_up_has_no_answer_in_any_time(ledger, error):
    run(ledger, lambda job, at: job.failed(error, "Given up.", at), 1)
    buckets, _ = counted(ledger)
    assert (buckets["86400.0"], buckets["+Inf"]) == (0, 1)


def test_an_expired_job_has_no_answer_in_any_time(ledger):
    job = a_job(priority=Priority.STAT)
    for version in (job, job.expired(job.created_at + timedelta(seconds=5))):
        ledger.view.put(version)
    assert counted(ledger)[0]["86400.0"] == 0
    assert counted(ledger)[0]["+Inf"] == 1


def test_a_canceled_job_is_not_counted(ledger):
    run(ledger, lambda job, at: job.canceled(at), 5)
    assert counted(ledger)[0]["+Inf"] == 0


def test_a_job_is_counted_once_whatever_comes_after_its_end(ledger):
    url = "https://clinic.example/hook"
    ended = run(
        ledger,
        lambda job, at: job.failed("worker-lost", "Lost.", at),
        5,
        callback_url=url,
        delivery=Delivery.PENDING,
    )
    at = ended.finished_at
    ledger.view.put(ended.delivery_begun(at).delivered())
    retried = ended.delivery_begun(at).delivered().retried(at)
    for version in (retried, retried.started("w", at), retried.started("w", at).succeeded({}, at)):
        ledger.view.put(version)
    assert counted(ledger)[0]["+Inf"] == 1
