import base64
import json
from contextlib import suppress
from datetime import timedelta

import pytest
from kombu import Message, Queue

from jobs.record.errors import QueueUnavailable
from jobs.record.job import Job, now
from jobs.record.states import Priority
from jobs.redis.queue import DELIVER, INFER_ROUTINE, INFER_STAT, JobQueue, celery_app
from jobs.redis.task_ids import messages_of, next_task_id
from tests.conftest import a_job
from worker.roles import QUEUES_OF_ROLE


@pytest.fixture
def waiting(ledger, queue):
    """Put a job into its client's queue, and send it to workers."""

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


def test_a_worker_takes_stat_then_routine_then_archive(waiting, settings):
    sent = [(p, waiting(priority=p).id) for p in ("archive", "routine", "stat") * 2]
    app, taken = celery_app(settings.redis_url), []
    queues = [Queue(name, routing_key=name) for name in QUEUES_OF_ROLE["inference"]]

    def take(body: list[list[str]], message: Message) -> None:
        taken.append(body[0][0])
        message.ack()

    with app.connection_for_read() as connection, connection.channel() as channel:
        # One message at a time, as a worker that has one slot.
        channel.qos.prefetch_count = 1
        with connection.Consumer(queues, callbacks=[take], channel=channel):
            while len(taken) < len(sent):
                connection.drain_events(timeout=10)
    assert taken == [job_id for p in ("stat", "routine", "archive") for q, job_id in sent if q == p]


def test_a_wipe_of_redis_does_not_stop_the_sender(waiting, redis):
    waiting()
    redis.flushall()
    waiting()
    assert redis.llen(INFER_ROUTINE) == 1


def test_a_send_without_redis_raises_and_does_not_wait():
    with pytest.raises(QueueUnavailable):
        JobQueue.connect("redis://127.0.0.1:1/0").feed_deliveries("clinic")


def task_ids(redis, name: str) -> list[str]:
    """The task ids of the messages in a queue, the last one sent first."""
    return [json.loads(message)["headers"]["id"] for message in redis.lrange(name, 0, -1)]


def test_the_task_id_of_an_analysis_is_its_jobs_with_the_attempt(waiting, queue, ledger, redis):
    job = waiting()
    running = job.started("inference:here:1:a", now())
    again = running.handed_back(now())
    ended = again.started("inference:here:1:a", now()).failed("worker-lost", "It died.", now())
    for shown in (running, again, ended, ended.retried(now())):
        ledger.view.put(shown)
        queue.feed(job.client, job.priority)
    assert task_ids(redis, INFER_ROUTINE) == [f"{job.id}_1-1", f"{job.id}-2", f"{job.id}-1"]


def test_the_task_id_of_a_call_is_its_jobs_with_the_attempt(waiting, queue, ledger, redis):
    job = waiting(callback_url="https://clinic.example/")
    ended = job.started("inference:here:1:a", now()).succeeded({}, now())
    ledger.view.put(ended)
    queue.feed_deliveries(job.client)
    queue.probe(job.client, "probe_7")
    assert task_ids(redis, DELIVER) == ["probe_7-1", f"{job.id}-deliver-1"]
    begun = ended.delivery_begun(now())
    assert next_task_id(begun.delivery_postponed(now() + timedelta(1), {})) == f"{job.id}-deliver-2"


def test_messages_of_jobs_that_the_view_lacks_have_different_task_ids():
    assert len({message.task_id for message in messages_of([b"job_1", b"", b"job_1", b""])}) == 2


def test_a_lost_attempt_is_reported_as_the_failure_of_its_worker(queue, settings):
    job, events = a_job().started("inference:here:1:a", now()), []
    app = celery_app(settings.redis_url)
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"task-failed": events.append})
        with receiver.consumer_context(wakeup=False) as (listening, *_):
            while not events:  # What is sent before the receiver listens is lost.
                queue.report_lost(job)
                with suppress(TimeoutError):
                    listening.drain_events(timeout=1)
    event = events[0]
    assert (event["uuid"], event["hostname"]) == (f"{job.id}-1", "inference@here")
