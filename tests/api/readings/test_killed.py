"""Readings while the API is killed and Redis is wiped: each ends signed, once, and is told of once."""

import json
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
import urllib3

from api.identity.totp import totp_secret
from jobs.reading.follow_up import follow_up
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.readers import Readers
from jobs.reading.readings import Readings
from jobs.record.job import Job, now
from tests.api.conftest import Api, serving
from tests.api.readings.test_routes import REPORT
from tests.conftest import SIGNING_KEY, a_job

READERS = 8
URL = "https://clinic.example/hook"


class Running:
    """The address of the API that runs at this moment; None while none does."""

    url: str | None = None
    signed = 0
    changed = threading.Condition()


def read(reading_id: str, key: str, secret: str) -> None:
    """Claim, commit and sign one reading, again and again until it is signed."""
    here, steps = f"/v1/readings/{reading_id}", iter([-1, 0, 1] * 50)
    while True:
        state = ask("GET", here, key)
        if state is None:
            continue
        if state["state"] == "signed":
            return
        if state["state"] == "requested":
            ask("POST", f"{here}/claim", key)
        elif not state["committed"]:
            ask("POST", f"{here}/commit", key, {"finding": "no_fracture"})
        else:
            code = pyotp.TOTP(secret).at(now() + timedelta(seconds=30 * next(steps)))
            ask("POST", f"{here}/sign", key, {"report": REPORT, "code": code})


def ask(method: str, path: str, key: str, body: dict | None = None) -> dict | None:
    """Return the answer; None where there was none."""
    with Running.changed:
        Running.changed.wait_for(lambda: Running.url is not None)
        url = Running.url
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        given = json.dumps(body) if body is not None else None
        answer = urllib3.request(
            method, f"{url}{path}", headers=headers, body=given, timeout=10, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status == 200 and path.endswith("/sign"):
        with Running.changed:
            Running.signed += 1
            Running.changed.notify_all()
    return dict(answer.json())


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.long)])
def test_every_reading_is_signed_once_although_the_api_is_killed(servers, tmp_path: Path, queue, kills: int):
    Running.signed = 0
    people: list[tuple[str, str]] = []
    readings: list[tuple[str, Job]] = []
    with ThreadPoolExecutor(READERS) as pool:
        work = []
        for round_ in range(kills + 1):
            folder = tmp_path / str(round_)
            folder.mkdir()
            with serving(servers, folder, processes=2) as (api, process):
                if not people:
                    people, readings = prepared(api)
                    work = [
                        pool.submit(read, readings[number][0], *people[number]) for number in range(READERS)
                    ]
                with Running.changed:
                    Running.url = api.url
                    Running.changed.notify_all()
                    if round_ < kills:
                        Running.changed.wait_for(lambda round_=round_: Running.signed > 2 * round_, 180)
                        Running.url = None
                if round_ < kills:
                    kill(process.pid)
                    api.redis.flushall()
                else:
                    for one in work:
                        one.result(240)
                    assert_signed_once(api, readings, queue)


def kill(master: int) -> None:
    """Kill gunicorn's first process and its workers."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    for process in (master, *map(int, children)):
        os.kill(process, signal.SIGKILL)


def prepared(api: Api) -> tuple[list[tuple[str, str]], list[tuple[str, Job]]]:
    policy, store = ReadingPolicy(("bones",)), Readings(api.ledger)
    Policies(api.records).put("clinic", policy)
    people, readings = [], []
    for number in range(READERS):
        key, reader = Readers(api.records, 0).create(f"Reader {number}", frozenset({"bones"}))
        people.append((key, totp_secret(SIGNING_KEY, reader)))
        job = a_job()
        api.ledger.accept(job, b"image")
        readings.append((store.request(job, policy, callback_url=URL).id, job))
    return people, readings


def assert_signed_once(api: Api, readings: list[tuple[str, Job]], queue) -> None:
    ledger = api.ledger
    for reading_id, _ in readings:
        reading = Readings(ledger).read(reading_id)
        kinds = [entry["type"] for entry in reading.history]
        assert kinds == ["requested", "claimed", "committed", "signed"]
        assert len(reading.reports) == 1
        follow_up(reading_id, reading.job, now(), ledger, queue)
    told = Counter(
        (event.announces["data"]["id"], event.event)
        for event in (ledger.read(key) for key in ledger.pending() if key.startswith("event_"))
        if event.announces
    )
    for reading_id, _ in readings:
        for kind in ("reading.requested", "reading.claimed", "reading.signed"):
            assert told[reading_id, kind] == 1
