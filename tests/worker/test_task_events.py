import json
from base64 import b64decode
from collections import Counter
from functools import partial

from celery.contrib.testing.worker import start_worker

from jobs.redis.queue import DELIVER, celery_app
from tests.conftest import await_that
from worker.task_events import BatchedEvents

TASKS = 20


def test_events_of_many_tasks_are_sent_together_and_none_is_lost(settings, redis):
    app, done = celery_app(settings.redis_url), []
    app.conf.task_send_sent_event = False
    app.steps["consumer"].add(BatchedEvents)

    @app.task(name="deliver")
    def work(number: int) -> None:
        done.append(number)

    heard = redis.pubsub()
    heard.psubscribe("*celeryev*task*")
    with start_worker(app, pool="threads", queues=DELIVER, perform_ping_check=False, send_events=True):
        for number in range(TASKS):
            work.apply_async([number], queue=DELIVER)
            await_that(lambda number=number: number in done)
    messages = list(iter(partial(heard.get_message, timeout=1.0), None))
    sent = [events_of(message["data"]) for message in messages if message["type"] == "pmessage"]
    kinds = Counter(event["type"] for events in sent for event in events)
    assert kinds == {"task-received": TASKS, "task-started": TASKS, "task-succeeded": TASKS}
    assert len(sent) < TASKS


def events_of(data: bytes) -> list[dict]:
    """Return the events in one message of the broker."""
    body = json.loads(b64decode(json.loads(data)["body"]))
    return body if isinstance(body, list) else [body]
