"""`python -m stack demo`: one radiograph all the way through a stack of its own; prints its job."""

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3

from stack.development import EXAMPLE
from stack.errors import GaveUp, StartRefused, StopRequested
from stack.receiver import Receiver
from stack.running import running
from stack.say import say
from stack.supervisor import STOP_SIGNALS

Fields = dict[str, str | bytes | tuple[str, str | bytes] | tuple[str, str | bytes, str]]

SYNTHETIC = Path("synthetic")
"""The name of the radiograph that the stack draws."""
_JOB_SECONDS = 180
"""After this long, a job that has not ended or not been delivered is a failure of the demo."""


def demo(environment: Mapping[str, str], image: Path = EXAMPLE) -> int:
    """Analyse `image`, a file or SYNTHETIC; print the finished job as JSON; returns the exit status.

    0 only if the job succeeded and its callback arrived with a valid signature. Raises StartRefused for an
    image that cannot be read.
    """
    if image != SYNTHETIC and not (image.is_file() and os.access(image, os.R_OK)):
        raise StartRefused(f"IMAGE={image} is not a file that can be read.")
    folder = Path(environment.get("OSTEO_VAR") or "var").resolve() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    overlay = folder / "overlay.png"
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    try:
        with running(environment, run) as ready:
            job = _analyse(ready, run, run / "synthetic.png" if image == SYNTHETIC else image, overlay)
    except (GaveUp, StopRequested, OSError, urllib3.exceptions.HTTPError) as reason:
        say(f"the demo failed: {reason} (logs: {run / 'log'})")
        return 1
    shutil.rmtree(run)
    print(json.dumps(job, indent=2))
    if job["state"] != "succeeded" or job["delivery"] != "delivered":
        say(f"the demo failed: the job is {job['state']}, its delivery {job['delivery']}")
        return 1
    say(f"the callback arrived with a valid signature; the overlay picture is {overlay}")
    return 0


def _stop(number: int, _: object) -> None:
    raise StopRequested(f"stopped by {signal.Signals(number).name}")


def _analyse(ready: Mapping[str, Any], folder: Path, image: Path, overlay: Path) -> dict[str, Any]:
    """Submit `image`, wait for its callback, store its overlay picture and return the finished job."""
    secrets = json.loads((folder / "secrets.json").read_text())
    authorization = {"Authorization": f"Bearer {ready['api_key']}"}
    with Receiver(secrets["webhook_secret"]) as receiver:
        say(f"submitting {image}")
        fields: Fields = {"image": (image.name, image.read_bytes()), "callback_url": receiver.url}
        answer = urllib3.request("POST", f"{ready['api']}/v1/jobs", fields=fields, headers=authorization)
        if answer.status != 202:
            raise GaveUp(f"the API answered {answer.status}: {answer.data.decode(errors='replace')}")
        job = _finished(answer.json(), authorization)
        if job["delivery"] == "delivered" and not receiver.of(job["id"]):
            raise GaveUp(f"the job says delivered, and no valid callback arrived ({receiver.rejected})")
    if job["state"] == "succeeded":
        picture = urllib3.request("GET", job["links"]["heatmap"], headers=authorization)
        overlay.write_bytes(picture.data)
    return job


def _finished(job: dict[str, Any], authorization: Mapping[str, str]) -> dict[str, Any]:
    deadline = time.monotonic() + _JOB_SECONDS
    while job["state"] in ("queued", "running") or job["delivery"] == "pending":
        if time.monotonic() > deadline:
            raise GaveUp(f"the job is {job['state']}, its delivery {job['delivery']}, after {_JOB_SECONDS} s")
        time.sleep(0.25)
        job = urllib3.request("GET", job["links"]["self"], headers=authorization).json()
    return job
