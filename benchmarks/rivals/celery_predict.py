"""Serves by a Celery task that calls `model.predict`; Redis carries image and answer."""

import base64
import os

from celery import Celery

app = Celery("rival", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
_loaded: list = []


@app.task
def analyse(image: str) -> dict[str, object]:
    """Predict one radiograph, base64."""
    from benchmarks.rivals.network import load, predict, prepare

    if not _loaded:
        _loaded.append(load())
    return predict(_loaded[0], prepare(base64.b64decode(image))[None])[0]
