"""Accepts radiographs by the lightest Flask application that promises what the API promises, for gunicorn.

Before it answers 202 the key is known, the record and the image are in the object store, and the job is in
the queue; a repeated idempotency key is the job of the first. With RIVAL_GUARDS it also refuses what does
not decode, in a limited process, and limits each client, by the API's own code for both.
"""

import hashlib
import json
import os
import time

from celery import Celery
from flask import Flask, abort, request

from api.intake.admission import Admission
from jobs.record.ids import new_id
from jobs.redis.client import connect
from jobs.redis.client_queues import ClientQueues
from jobs.redis.queue import ANALYSE_TASK, INFER_ROUTINE, celery_app
from jobs.settings import Settings
from jobs.store.objects import Objects
from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds
from model.errors import ImageError


def _queue() -> Celery:
    """Connect to the broker, without an event for Flower at each message."""
    queue = celery_app(os.environ["REDIS_URL"])
    queue.conf.task_send_sent_event = False
    return queue


app = Flask(__name__)
objects = Objects.connect(os.environ["S3_ENDPOINT_URL"], "osteo")
redis = connect(os.environ["REDIS_URL"])
queue = _queue()
guards = bool(os.environ.get("RIVAL_GUARDS"))
decoders = Decoders(Bounds())
admission = Admission.over(Settings.from_environment(os.environ), ClientQueues(redis))
known = {os.environ["RIVAL_KEY_SHA256"]: "rival"}


@app.post("/v1/jobs")
def submit() -> tuple[dict[str, object], int]:
    """Accept one radiograph of a multipart form."""
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    client = known.get(hashlib.sha256(key.encode()).hexdigest())
    if client is None:
        abort(401)
    image, job_id = request.files["image"].read(), new_id("rival")
    if name := request.headers.get("Idempotency-Key"):
        before = redis.set(f"rival:{client}:{name}", job_id, nx=True, get=True, ex=604_800)
        if isinstance(before, bytes):
            return {"id": before.decode()}, 202
    if guards:
        if not admission.count(client)[0]:
            abort(429)
        admission.refuse_when_full(client)
        try:
            decoders.facts(image, client)
        except ImageError:
            abort(422)
    record = {
        "id": job_id,
        "client": client,
        "created_at": time.time(),
        "fields": dict(request.form),
        "sha256": hashlib.sha256(image).hexdigest(),
        "size": len(image),
    }
    objects.put(f"rival/pending/{job_id}", json.dumps(record).encode(), "application/json")
    objects.put(f"rival/images/{job_id}", image)
    queue.send_task(ANALYSE_TASK, args=[job_id], queue=INFER_ROUTINE, task_id=job_id, retry=False)
    return {"id": job_id, "state": "queued"}, 202
