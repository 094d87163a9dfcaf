"""The queue: Celery over Redis. A message carries a job's id and nothing else."""

from typing import Self

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from jobs.record.errors import QueueAway
from jobs.record.states import Priority
from jobs.redis.address import broker_of
from jobs.redis.client import connect
from jobs.redis.client_queues import ClientQueues
from jobs.redis.delivery_queues import DeliveryQueues

INFER_STAT = "infer.stat"
INFER_ROUTINE = "infer.routine"
DELIVER = "deliver"
QUEUE_OF_PRIORITY = {Priority.STAT: INFER_STAT, Priority.ROUTINE: INFER_ROUTINE}

ANALYSE_TASK = "analyse"
DELIVER_TASK = "deliver"
PROBE_TASK = "probe"


def celery_app(redis_url: str) -> Celery:
    """The Celery application, configured alike for those who send and those who work."""
    broker, options = broker_of(redis_url)
    app = Celery("osteo", broker=broker, set_as_current=False)
    app.conf.update(
        task_queues=[Queue(name, routing_key=name) for name in (INFER_STAT, INFER_ROUTINE, DELIVER)],
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
        # A Redis that answers with an error, as one that was demoted to replica, is waited for as well.
        broker_channel_error_retry=True,
        broker_transport_options={
            "visibility_timeout": 3600,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "queue_order_strategy": "priority",
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            # Without a bound, a publish waits for a dead Redis for ever.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
            **options,
        },
    )
    return app


class JobQueue:
    """Puts job ids into the queues. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, app: Celery, redis: Redis) -> None:
        self._app = app
        self._lines = ClientQueues(redis)
        self._deliveries = DeliveryQueues(redis)

    @classmethod
    def connect(cls, redis_url: str) -> Self:
        """The queues at `redis_url`."""
        return cls(celery_app(redis_url), connect(redis_url))

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()

    def feed(self, client: str, priority: Priority) -> None:
        """Ask workers to analyse the next jobs of a client's line, as many as its window has room for."""
        for job_id in self._lines.next_in_line(client, priority):
            self._send(ANALYSE_TASK, job_id, QUEUE_OF_PRIORITY[priority])

    def feed_deliveries(self, client: str) -> None:
        """Ask workers to make the next calls of a client, as many as it has room for."""
        for item in self._deliveries.next(client, DELIVER):
            self._send(PROBE_TASK if item.startswith("probe_") else DELIVER_TASK, item, DELIVER)

    def probe(self, client: str, probe_id: str) -> None:
        """Ask a worker to send this test event when its turn comes."""
        self._deliveries.join(client, probe_id)
        self.feed_deliveries(client)

    def lost(self) -> set[str]:
        """The ids of the waiting jobs that were sent to workers and whose messages were lost."""
        return {
            job_id
            for priority, queue in QUEUE_OF_PRIORITY.items()
            for job_id in self._lines.lost(priority, queue)
        }

    def _send(self, task: str, job_id: str, queue: str) -> None:
        try:
            self._app.send_task(task, args=[job_id], queue=queue, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            raise QueueAway(f"Redis does not answer: {type(error).__name__}") from error
