"""Sends messages to workers by Celery over Redis. A message carries an id and nothing else."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from jobs.record.errors import QueueAway
from jobs.record.job import Job
from jobs.record.states import Priority
from jobs.redis.address import broker_of
from jobs.redis.broker_transport import transport_of
from jobs.redis.client import connect, disconnect, translated
from jobs.redis.client_queues import ClientQueues
from jobs.redis.delivery_queues import DeliveryQueues
from jobs.redis.message_spans import record_lost_attempt, send_span
from jobs.redis.task_ids import QueueMessage, analysis_task_id
from jobs.spans import recording

INFER_STAT = "infer.stat"
INFER_ROUTINE = "infer.routine"
INFER_ARCHIVE = "infer.archive"
DELIVER = "deliver"
QUEUE_OF_PRIORITY = {
    Priority.STAT: INFER_STAT,
    Priority.ROUTINE: INFER_ROUTINE,
    Priority.ARCHIVE: INFER_ARCHIVE,
}

ANALYSE_TASK = "analyse"
DELIVER_TASK = "deliver"
PROBE_TASK = "probe"


def celery_app(redis_url: str) -> Celery:
    """Return the Celery application, configured alike for senders and workers."""
    broker, options, tls = broker_of(redis_url)
    app = Celery("osteo", broker=broker, set_as_current=False)
    app.conf.update(
        broker_transport=transport_of(broker),
        broker_use_ssl=tls or False,
        task_queues=[Queue(name, routing_key=name) for name in (*QUEUE_OF_PRIORITY.values(), DELIVER)],
        task_default_queue=INFER_ROUTINE,
        task_create_missing_queues=False,
        accept_content=["json"],
        task_serializer="json",
        event_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A worker also waits for a Redis that answers with an error, such as a demoted master.
        broker_channel_error_retry=True,
        broker_transport_options={
            "visibility_timeout": 3600,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "queue_order_strategy": "priority",
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            # A consumer drops a connection on which its blocking pop got no answer for about so long.
            "health_check_interval": 5,
            # Without these limits a publish waits for a dead Redis for ever.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
            **options,
        },
    )
    return app


class JobQueue:
    """The broker's queues. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, app: Celery, redis: Redis) -> None:
        self._app = app
        self._redis = redis
        self._client_queues = ClientQueues(redis)
        self._deliveries = DeliveryQueues(redis)

    @classmethod
    def connect(cls, redis_url: str) -> Self:
        """Return the queues at `redis_url`."""
        return cls(celery_app(redis_url), connect(redis_url))

    def close(self) -> None:
        """Close the connections to Redis, Celery's and our own."""
        self._app.close()
        disconnect(self._redis)

    def feed(self, client: str, priority: Priority) -> None:
        """Send the next jobs of a client's queue to workers, as many as its window has room for."""
        self.send(priority, self._client_queues.next_jobs(client, priority))

    def send(self, priority: Priority, messages: Sequence[QueueMessage]) -> None:
        """Send jobs that were chosen for it to workers."""
        for message, trace in zip(messages, self._traces_of(messages), strict=True):
            self._send(ANALYSE_TASK, message, QUEUE_OF_PRIORITY[priority], trace)

    def feed_deliveries(self, client: str) -> None:
        """Send the next callbacks of a client to workers, as many as it has room for."""
        messages = self._deliveries.next(client, DELIVER)
        for message, trace in zip(messages, self._traces_of(messages), strict=True):
            task = PROBE_TASK if message.item.startswith("probe_") else DELIVER_TASK
            self._send(task, message, DELIVER, trace)

    def probe(self, client: str, probe_id: str) -> None:
        """Queue this test event of a client."""
        self._deliveries.join(client, probe_id)
        self.feed_deliveries(client)

    def lost(self) -> set[str]:
        """Return the ids of the waiting jobs that were sent to workers and whose messages were lost."""
        return {
            job_id
            for priority, queue in QUEUE_OF_PRIORITY.items()
            for job_id in self._client_queues.lost(priority, queue)
        }

    def report_lost(self, job: Job) -> None:
        """Tell Flower and the trace that an attempt is lost: its worker can report nothing any more."""
        task_id = analysis_task_id(job, job.attempts)
        record_lost_attempt(QUEUE_OF_PRIORITY[job.priority], task_id, job)
        self.report_end(task_id, job.runner or "", "the attempt was lost")

    def report_end(self, task_id: str, runner: str, failure: str | None) -> None:
        """Tell Flower that a task has ended whose message is gone. Raises QueueUnavailable.

        `runner` is the worker, as the name of its heartbeat. `failure` says why the task failed; None stands
        for success.
        """
        role, host = [*runner.split(":"), ""][:2]
        with _translated(), self._app.events.default_dispatcher(hostname=f"{role}@{host}") as events:
            if failure:
                events.send("task-failed", uuid=task_id, exception=failure, traceback="")
            else:
                events.send("task-succeeded", uuid=task_id, result="None", runtime=0.0)

    def _traces_of(self, messages: Sequence[QueueMessage]) -> list[str | None]:
        """Read the `traceparent` of each message's job out of the view, while spans are recorded."""
        if not messages or not recording():
            return [None] * len(messages)
        with translated(self._redis):
            pipe = self._redis.pipeline(transaction=False)
            for message in messages:
                pipe.hget(f"job:{message.item}", "record")
            return [_trace_of(record) for record in pipe.execute()]

    def _send(self, task: str, message: QueueMessage, queue: str, traceparent: str | None) -> None:
        if traceparent is None:
            self._send_task(task, message, queue)
        else:
            with send_span(queue, message.task_id, traceparent) as sending:
                self._send_task(task, message, queue, headers={"traceparent": sending.traceparent})

    def _send_task(self, task: str, message: QueueMessage, queue: str, **options: Any) -> None:
        item, task_id = message
        with _translated():
            self._app.send_task(task, args=[item], queue=queue, task_id=task_id, retry=False, **options)


def _trace_of(record: bytes | None) -> str | None:
    with suppress(ValueError, TypeError, AttributeError):  # There is none, or it cannot be read.
        return json.loads(record).get("traceparent")  # type: ignore[arg-type]
    return None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        raise QueueAway(f"Redis does not answer: {type(error).__name__}") from error
