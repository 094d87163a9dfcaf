"""Analyses radiographs by the lightest Celery worker that promises what the service promises.

It takes what benchmarks.rivals.flask_intake has accepted. An answer is in the object store before it is
posted, signed, to the URL of the client, and the message is acknowledged after that. Images are decoded in
limited processes, and the engine is that of the service. It takes radiographs one by one, tries no callback
twice, and counts nothing.
"""

import json
import os
from datetime import UTC, datetime
from threading import Lock

import urllib3
from celery import Celery
from celery.signals import worker_ready

from benchmarks.rivals.lightest import READY
from benchmarks.rivals.network import SIZE, Network, load, predict
from jobs.callbacks.signing import signed
from jobs.redis.client import connect
from jobs.redis.queue import ANALYSE_TASK, celery_app
from jobs.store.objects import Objects
from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds
from model.letterbox import to_input


def _worker() -> Celery:
    """Connect to the broker, without an event for Flower at each task."""
    worker = celery_app(os.environ["REDIS_URL"])
    worker.conf.worker_send_task_events = False
    return worker


app = _worker()
objects = Objects.connect(os.environ["S3_ENDPOINT_URL"], "osteo")
pool = urllib3.PoolManager(maxsize=32, retries=False, timeout=10)
decoders = Decoders(Bounds())
secret = os.environ["RIVAL_WEBHOOK_SECRET"]
networks: list[Network] = []
turn = Lock()


@worker_ready.connect
def start(**_: object) -> None:
    """Load the network, and say that messages may come."""
    with turn:
        networks.append(load())
    connect(os.environ["REDIS_URL"]).set(READY, "1")


@app.task(name=ANALYSE_TASK)
def analyse(job_id: str) -> None:
    """Analyse one radiograph, store the answer, and post it."""
    record = json.loads(objects.get(f"rival/pending/{job_id}"))
    radiograph = decoders.decode(objects.get(f"rival/images/{job_id}"), record["client"])
    inputs = to_input(radiograph.pixels, SIZE, radiograph.exposed_field)[None]
    with turn:
        (answer,) = predict(networks[0], inputs)
    data = {"id": job_id, "state": "succeeded", "result": answer}
    objects.put(f"rival/results/{job_id}", json.dumps(data).encode(), "application/json")
    at = datetime.now(UTC)
    event = {"type": "job.succeeded", "timestamp": at.isoformat(), "data": data}
    body, headers = signed(job_id, event, [secret], at)
    posted = pool.request("POST", record["fields"]["callback_url"], body=body, headers=headers)
    if posted.status != 204:
        raise RuntimeError(f"the receiver answered {posted.status}")
    objects.delete(f"rival/pending/{job_id}")
