"""Accepts radiographs by the lightest Flask application that promises what the API promises, for gunicorn.

Before it answers 202 the key is known, the record and the image are in the object store, and the job is in
the queue; a repeated idempotency key is the job of the first. It checks no picture and limits no client.
"""

import hashlib
import json
import os
import time

from celery import Celery
from flask import Flask, abort, request

from jobs.record.ids import new_id
from jobs.redis.client import connect
from jobs.redis.queue import ANALYSE_TASK, INFER_ROUTINE, celery_app
from jobs.store.objects import Objects


def _queue() -> Celery:
    """Connect to the broker, without an event for Flower at each message."""
    queue = celery_app(os.environ["REDIS_URL"])
    queue.conf.task_send_sent_event = False
    return queue


app = Flask(__name__)
objects = Objects.connect(os.environ["S3_ENDPOINT_URL"], "osteo")
redis = connect(os.environ["REDIS_URL"])
queue = _queue()
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
