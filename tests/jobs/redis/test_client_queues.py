import time

import pytest

from jobs.record.job import Job, now
from jobs.record.states import Priority
from jobs.redis.client_queues import CLIENT_WINDOW, DRAIN_BUCKET, DRAIN_BUCKETS, drained_key
from jobs.redis.queue import INFER_ROUTINE
from tests.conftest import a_job


@pytest.fixture
def flood(ledger, queue) -> list[Job]:
    """Far more jobs of one client than its window holds, in the queue as far as they may be."""
    jobs = [a_job("flood") for _ in range(CLIENT_WINDOW + 20)]
    for job in jobs:
        ledger.view.put(job)
        queue.feed(job.client, job.priority)
    return jobs


def test_a_flood_stands_before_another_client_only_as_far_as_its_window_goes(flood, ledger, queue, redis):
    other = a_job("clinic")
    ledger.view.put(other)
    queue.feed("clinic", Priority.ROUTINE)
    assert redis.llen(INFER_ROUTINE) == CLIENT_WINDOW + 1
    assert ("analyse", other.id) in queue.waiting()
    assert ledger.view.client_queues.position(other) == 1, "clients come in turn"
    assert ledger.view.client_queues.position(flood[-1]) == CLIENT_WINDOW + 20


def test_each_job_that_is_taken_up_lets_the_next_one_in(flood, ledger, queue):
    for taken in range(20):
        ledger.view.put(flood[taken].started("w", now()))
        queue.feed("flood", Priority.ROUTINE)
        queue.feed("flood", Priority.ROUTINE)
        assert len(queue.waiting()) == CLIENT_WINDOW + taken + 1, "one each, however often it is fed"
    assert {job_id for _, job_id in queue.waiting()} <= {job.id for job in flood}
    assert ledger.view.client_queues.of_client("flood")[0] == CLIENT_WINDOW


def test_a_line_ends_with_its_last_job(ledger):
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
