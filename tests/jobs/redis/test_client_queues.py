import time
from datetime import timedelta

import pytest

from jobs.record.job import Job, now
from jobs.record.states import Priority
from jobs.redis.client_queues import CLIENT_WINDOW, DRAIN_BUCKET, DRAIN_BUCKETS, drained_key
from jobs.redis.queue import INFER_ROUTINE
from tests.conftest import a_job


@pytest.fixture
def flood(ledger, queue) -> list[Job]:
    """Far more jobs of one client than its window has room for, sent to workers as far as it has room."""
    jobs = [a_job("flood") for _ in range(CLIENT_WINDOW + 20)]
    for job in jobs:
        ledger.view.put(job)
        queue.feed(job.client, job.priority)
    return jobs


def test_a_flood_delays_another_client_by_its_window_at_most(flood, ledger, queue, redis):
    other = a_job("clinic")
    ledger.view.put(other)
    queue.feed("clinic", Priority.ROUTINE)
    assert redis.llen(INFER_ROUTINE) == CLIENT_WINDOW + 1
    assert ("analyse", other.id) in queue.waiting()
    assert ledger.view.client_queues.position(other) == 1, "clients come in turn"
    assert ledger.view.client_queues.position(flood[-1]) == CLIENT_WINDOW + 20


def test_each_job_that_a_worker_takes_admits_the_next_one(flood, ledger, queue):
    for taken in range(20):
        ledger.view.put(flood[taken].started("w", now()))
        queue.feed("flood", Priority.ROUTINE)
        queue.feed("flood", Priority.ROUTINE)
        assert len(queue.waiting()) == CLIENT_WINDOW + taken + 1, "one each, however often it is fed"
    assert {job_id for _, job_id in queue.waiting()} <= {job.id for job in flood}
    assert ledger.view.client_queues.of_client("flood")[0] == CLIENT_WINDOW


def test_a_job_is_sent_as_it_is_shown_and_its_position_told(flood, ledger, queue):
    other = a_job("clinic")
    assert ledger.view.put(other, queue.send) == 1, "clients come in turn"
    assert ("analyse", other.id) in queue.waiting()
    assert ledger.view.put(other, queue.send) is None, "this version was shown before"
    before = len(queue.waiting())
    assert ledger.view.put(flood[0].started("w", now()), queue.send) is None, "it does not wait any more"
    sent = [job_id for _, job_id in queue.waiting()]
    assert (len(sent), flood[CLIENT_WINDOW].id in sent) == (before + 1, True)


def test_a_job_that_is_sent_as_it_is_shown_is_sent_once(ledger, queue):
    job = a_job()
    ledger.view.put(job, queue.send)
    queue.feed(job.client, job.priority)
    assert [job_id for _, job_id in queue.waiting()] == [job.id]


def test_a_client_queue_is_removed_with_its_last_job(ledger):
    job = a_job()
    ledger.view.put(job)
    assert ledger.view.client_queues.all() == [("clinic", Priority.ROUTINE)]
    ledger.view.put(job.started("w", now()))
    assert ledger.view.client_queues.all() == []
    assert ledger.view.client_queues.of_client("clinic") == (0, 0.0)


def test_the_drain_rate_is_of_the_last_whole_minute(ledger, redis):
    assert ledger.view.client_queues.drain_rate() == 0
    job = a_job()
    ledger.view.put(job)
    ledger.view.put(job.started("w", now()))
    assert redis.get(drained_key(time.time())) or redis.get(drained_key(time.time() - DRAIN_BUCKET))
    for back in range(20):
        redis.set(drained_key(time.time() - back * DRAIN_BUCKET), 30)
    assert ledger.view.client_queues.drain_rate() == pytest.approx(30 / DRAIN_BUCKET)
    assert DRAIN_BUCKET * DRAIN_BUCKETS == 60


def test_each_queue_is_listed_with_its_jobs_the_oldest_first(ledger):
    first = a_job("clinic", priority=Priority.STAT, queued_at=now() - timedelta(hours=1))
    for job in (a_job("other"), first, a_job("clinic"), a_job("clinic")):
        ledger.view.put(job)
    listed = ledger.view.client_queues.by_client()
    assert {(queue.client, queue.priority, queue.count) for queue in listed} == {
        *(("clinic", Priority.STAT, 1), ("clinic", Priority.ROUTINE, 2), ("other", Priority.ROUTINE, 1)),
    }
    assert (listed[0].priority, listed[0].since) == (Priority.STAT, first.queued_at.timestamp())
    ledger.view.put(first.started("w", now()))
    assert Priority.STAT not in {queue.priority for queue in ledger.view.client_queues.by_client()}
