import base64
import json

import pytest

from jobs.errors import QueueUnavailable
from jobs.queue import INFER_ROUTINE, INFER_STAT, JobQueue
from jobs.states import Priority
from tests.conftest import a_job


def test_a_message_carries_the_job_id_and_nothing_else(queue, redis):
    job = a_job(reference="patient 7")
    queue.analyse(job)
    message = json.loads(redis.lrange(INFER_ROUTINE, 0, -1)[0])
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[job.id], {}]
    assert "patient" not in json.dumps(message)
    assert queue.waiting() == {("analyse", job.id)}


def test_stat_jobs_have_a_queue_of_their_own(queue, redis):
    queue.analyse(a_job(priority=Priority.STAT))
    assert redis.llen(INFER_STAT) == 1


def test_a_wipe_of_redis_does_not_stop_the_sender(queue, redis):
    queue.analyse(a_job())
    redis.flushall()
    queue.analyse(a_job())
    assert redis.llen(INFER_ROUTINE) == 1


def test_a_redis_that_is_away_is_said_instead_of_waited_for():
    with pytest.raises(QueueUnavailable):
        JobQueue.connect("redis://127.0.0.1:1/0").analyse(a_job())
