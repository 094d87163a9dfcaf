import base64
import json

import pytest

from jobs.record.errors import QueueUnavailable
from jobs.record.job import Job
from jobs.record.states import Priority
from jobs.redis.queue import INFER_ROUTINE, INFER_STAT, JobQueue
from tests.conftest import a_job


@pytest.fixture
def waiting(ledger, queue):
    """Put a job into its client's line, and feed the queue from it."""

    def wait(**values: object) -> Job:
        job = a_job(**values)
        ledger.view.put(job)
        queue.feed(job.client, job.priority)
        return job

    return wait


def test_a_message_carries_the_job_id_and_nothing_else(waiting, queue, redis):
    job = waiting(reference="patient 7")
    message = json.loads(redis.lrange(INFER_ROUTINE, 0, -1)[0])
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[job.id], {}]
    assert "patient" not in json.dumps(message)
    assert queue.waiting() == {("analyse", job.id)}


def test_stat_jobs_have_a_queue_of_their_own(waiting, redis):
    waiting(priority=Priority.STAT)
    assert redis.llen(INFER_STAT) == 1


def test_a_wipe_of_redis_does_not_stop_the_sender(waiting, redis):
    waiting()
    redis.flushall()
    waiting()
    assert redis.llen(INFER_ROUTINE) == 1


def test_a_redis_that_is_away_is_said_instead_of_waited_for():
    with pytest.raises(QueueUnavailable):
        JobQueue.connect("redis://127.0.0.1:1/0").feed_deliveries("clinic")
