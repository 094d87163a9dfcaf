"""Tests waiting for changes of a job, over HTTP. The clients wait less long than the server."""

import json
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from itertools import islice

import pytest
import urllib3

from api.http.problem import Problem
from api.http.slots import Slots
from api.identity.key import id_of
from api.identity.key_store import Keys
from api.routes.waiting import Waiting
from jobs.record.job import Job, now
from jobs.redis.changes import Changes
from jobs.redis.view import CHANGES
from jobs.store.ledger import Ledger
from tests import pictures
from tests.api.conftest import RESULT, Api, problem_of, serving
from tests.conftest import await_that

PNG = pictures.encoded(pictures.gray())
PATIENCE = 20
"""Seconds; the server waits for up to 30."""
WAIT = {"Prefer": "wait=30"}


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture
def job(api: Api, ledger: Ledger) -> Job:
    return ledger.read(api.submit(PNG).json()["id"])


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def start(job: Job, ledger: Ledger) -> Job:
    return ledger.append(job.started("w", now()))


def end(job: Job, ledger: Ledger) -> Job:
    return ledger.append(start(job, ledger).succeeded(RESULT, now()))


def events_of(waiting: Waiting, job: Job, key_holds: Callable[[], bool], seen: int = 0) -> Iterator[str]:
    """Read a stream of events."""
    return iter(waiting.events(job, seen, key_holds).response)


def looks(api: Api) -> int:
    """Return how often Redis was asked for a record: twice by each waiting request, at its beginning."""
    return int(api.redis.info("commandstats").get("cmdstat_hget", {"calls": 0})["calls"])


def waiting(api: Api, pool: ThreadPoolExecutor, job: Job, headers: dict[str, str]) -> "Future":
    """Start a request that waits for this job, and return once it waits."""
    before = looks(api)
    asked = pool.submit(
        urllib3.request,
        *("GET", f"{api.url}/v1/jobs/{job.id}"),
        headers={"Authorization": f"Bearer {api.key}", **headers},
        timeout=PATIENCE,
        retries=False,
    )
    await_that(lambda: looks(api) >= before + 2)
    assert not asked.done()
    return asked


def test_a_wait_with_an_etag_is_answered_at_once_where_the_job_has_ended(api: Api, job: Job, ledger: Ledger):
    before = etag_of(api, end(job, ledger))
    # It would wait for thirty seconds; this client has less patience.
    answer = urllib3.request(
        *("GET", f"{api.url}/v1/jobs/{job.id}"),
        headers={"Authorization": f"Bearer {api.key}", "If-None-Match": before, **WAIT},
        timeout=PATIENCE,
        retries=False,
    )
    assert answer.status == 304
    assert answer.headers["Preference-Applied"] == "wait=30"


def etag_of(api: Api, job: Job) -> str:
    return api.request("GET", f"/v1/jobs/{job.id}").headers["ETag"]


def test_a_long_poll_is_answered_when_the_job_changes(api: Api, ledger: Ledger, job: Job, elsewhere):
    asked = waiting(api, elsewhere, job, WAIT | {"If-None-Match": etag_of(api, job)})
    start(job, ledger)
    answer = asked.result()
    assert (answer.status, answer.json()["state"]) == (200, "running")
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert not answer.headers["ETag"].startswith("W/")


def test_a_long_poll_without_a_change_is_answered_304(api: Api, job: Job):
    headers = {"Prefer": "respond-async, wait=1", "If-None-Match": etag_of(api, job)}
    answer = api.request("GET", f"/v1/jobs/{job.id}", headers=headers)
    assert (answer.status, answer.headers["Preference-Applied"]) == (304, "wait=1")


def test_a_long_poll_after_a_change_is_answered_at_once(api: Api, ledger: Ledger, job: Job):
    etag = etag_of(api, job)
    start(job, ledger)
    headers = WAIT | {"If-None-Match": etag}
    assert api.request("GET", f"/v1/jobs/{job.id}", headers=headers).json()["state"] == "running"


def test_a_change_of_the_queue_position_changes_the_etag(api: Api, ledger: Ledger, job: Job):
    second = ledger.read(api.submit(PNG).json()["id"])
    etag = etag_of(api, second)
    start(job, ledger)
    plain = api.request("GET", f"/v1/jobs/{second.id}", headers={"If-None-Match": etag})
    assert (plain.status, plain.json()["queue_position"]) == (200, 0)
    again = {"If-None-Match": plain.headers["ETag"]}
    assert api.request("GET", f"/v1/jobs/{second.id}", headers=again).status == 304


def test_a_wait_without_an_etag_ends_with_the_job(api: Api, ledger: Ledger, job: Job, elsewhere):
    asked = waiting(api, elsewhere, job, {"Prefer": "wait=300"})
    end(job, ledger)
    answer = asked.result()
    assert answer.json()["state"] == "succeeded"
    assert answer.headers["Preference-Applied"] == "wait=30"


def test_a_wait_for_a_job_that_is_deleted_is_answered_gone(api: Api, job: Job, elsewhere):
    asked = waiting(api, elsewhere, job, WAIT)
    assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
    assert problem_of(asked.result())["type"] == "/problems/gone"


@pytest.mark.parametrize("header", ["wait", "wait=x", "wait=-1", "wait=0", "wait=٣", "respond-async", ""])
def test_a_malformed_preference_is_ignored(api: Api, job: Job, header: str):
    answer = api.request("GET", f"/v1/jobs/{job.id}", headers={"Prefer": header.encode()})
    assert answer.status == 200
    assert "Preference-Applied" not in answer.headers


def test_a_submission_that_waits_is_answered_with_the_ended_job(api: Api, ledger: Ledger, elsewhere):
    key = Keys(api.records).create("patient")
    before = set(ledger.of_client("patient", None))
    asked = elsewhere.submit(
        api.request, "POST", "/v1/jobs", key=key, headers=WAIT, fields={"image": ("x.png", PNG)}
    )
    await_that(lambda: bool(set(ledger.of_client("patient", None)) - before))
    (job_id,) = set(ledger.of_client("patient", None)) - before
    await_that(lambda: ledger.view.get_many([job_id]) != [None])
    end(ledger.read(job_id), ledger)
    answer = asked.result()
    assert (answer.status, answer.json()["id"], answer.json()["state"]) == (200, job_id, "succeeded")
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert answer.headers["Location"].endswith(job_id)
    assert "Retry-After" not in answer.headers


def test_a_submission_whose_wait_ends_before_the_job_is_accepted(api: Api):
    answer = api.request("POST", "/v1/jobs", headers={"Prefer": "wait=1"}, fields={"image": ("x.png", PNG)})
    assert (answer.status, answer.json()["state"]) == (202, "queued")
    assert (answer.headers["Preference-Applied"], answer.headers["Retry-After"]) == ("wait=1", "1")


def test_a_submission_is_answered_while_three_hundred_clients_wait(api: Api, ledger: Ledger, job: Job):
    etag, before = etag_of(api, job), looks(api)
    request = (
        f"GET /v1/jobs/{job.id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n"
        f"Prefer: wait=30\r\nIf-None-Match: {etag}\r\n\r\n"
    ).encode()
    host, port = api.url.removeprefix("http://").split(":")
    clients = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(300)]
    for client in clients:
        client.sendall(request)
    await_that(lambda: looks(api) >= before + 600)
    assert api.submit(PNG).status == 202
    assert select.select(clients, [], [], 0)[0] == [], "all of them still wait"
    start(job, ledger)
    for client in clients:
        with client:
            assert client.recv(12) == b"HTTP/1.1 200"


class Events:
    """A client of a stream of events."""

    def __init__(self, api: Api, job: Job, **headers: str) -> None:
        self.answer = urllib3.request(
            "GET",
            f"{api.url}/v1/jobs/{job.id}/events",
            headers={"Authorization": f"Bearer {api.key}", **headers},
            timeout=PATIENCE,
            retries=False,
            preload_content=False,
        )
        assert self.answer.status == 200
        assert self.answer.headers["Content-Type"] == "text/event-stream"

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        text = ""
        for chunk in self.answer.stream():
            text += chunk.decode()
            while "\n\n" in text:
                event, _, text = text.partition("\n\n")
                fields = dict(line.split(": ", 1) for line in event.splitlines() if line[0] != ":")
                if fields:
                    assert fields["event"] == "job"
                    yield fields["id"], json.loads(fields["data"])


def test_a_stream_has_every_state_until_the_job_is_settled(api: Api, ledger: Ledger, job: Job):
    events = iter(Events(api, job))
    version, shown = next(events)
    assert (version, shown["state"], shown["queue_position"]) == ("1", "queued", 0)
    assert shown == api.request("GET", f"/v1/jobs/{job.id}").json()
    running = start(job, ledger)
    version, shown = next(events)
    assert (version, shown["state"]) == ("2", "running")
    ledger.append(running.succeeded(RESULT, now()))
    assert [(version, shown["state"]) for version, shown in events] == [("3", "succeeded")]


def test_a_stream_continues_after_the_last_event_that_was_seen(api: Api, ledger: Ledger, job: Job):
    ended = end(job, ledger)
    resumed = list(Events(api, job, **{"Last-Event-ID": "2"}))
    assert [version for version, _ in resumed] == ["3"]
    answer = api.request("GET", f"/v1/jobs/{ended.id}/events", headers={"Last-Event-ID": "3"})
    assert answer.status == 204, "a browser does not ask again"


def test_a_stream_does_not_repeat_the_event_that_was_seen(api: Api, ledger: Ledger, job: Job):
    events = iter(Events(api, job, **{"Last-Event-ID": "1"}))
    start(job, ledger)
    assert next(events)[0] == "2"


def test_a_stream_continues_until_the_callback_has_ended(api: Api, ledger: Ledger):
    job = ledger.read(api.submit(PNG, callback_url="https://clinic.example/hook").json()["id"])
    events = iter(Events(api, job))
    next(events)
    ended = end(job, ledger)
    while (event := next(events))[0] != "3":
        pass
    assert (event[1]["state"], event[1]["delivery"]) == ("succeeded", "pending")
    ledger.append(ended.delivery_begun(now()).delivered())
    assert [shown["delivery"] for _, shown in events] == ["delivered"]


def test_a_stream_ends_when_the_job_is_deleted(api: Api, job: Job):
    events = iter(Events(api, job))
    next(events)
    assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
    assert list(events) == []


@pytest.fixture
def changes(servers) -> Iterator[Changes]:
    changes = Changes.connect(servers.redis_url)
    yield changes
    changes.stop()


def test_a_stream_without_a_change_sends_a_comment(ledger: Ledger, job: Job, changes: Changes, monkeypatch):
    monkeypatch.setattr("api.routes.waiting.HEARTBEAT", 0.01)
    stream = events_of(Waiting(ledger, changes, ""), job, lambda: True, seen=1)
    assert [next(stream) for _ in range(3)] == [": still there\n\n"] * 3


@pytest.mark.parametrize("act", ["revoked", "rotated"])
def test_a_stream_ends_when_its_key_does(
    api: Api, ledger: Ledger, job: Job, changes: Changes, act, monkeypatch
):
    monkeypatch.setattr("api.routes.waiting.HEARTBEAT", 0.01)
    keys = Keys(api.records, trust_seconds=0)
    key = keys.create("clinic")
    stream = events_of(Waiting(ledger, changes, ""), job, lambda: keys.holder_of(key) is not None)
    seen = [next(stream), next(stream), next(stream)]
    assert "event: job" in seen[1]
    assert seen[2] == ": still there\n\n"
    if act == "revoked":
        keys.revoke(id_of(key))
    else:
        keys.rotate(id_of(key), timedelta(0))
    start(job, ledger)
    assert list(islice(stream, 3)) in ([], [": still there\n\n"]), "nothing that came later is told"


def test_a_wait_without_a_free_slot_is_answered_at_once(ledger: Ledger, job: Job, changes: Changes):
    full = Waiting(ledger, changes, "", Slots(0, 0))
    assert full.until(lambda job: False, job, 30) == (job, False)
    with pytest.raises(Problem) as refused:
        full.events(job, seen=0, key_holds=lambda: True)
    assert refused.value.status == 503


def test_slots_are_free_after_a_wait_and_after_a_stream(ledger: Ledger, job: Job, changes: Changes):
    single = Waiting(ledger, changes, "", Slots(1, 1))
    for _ in range(3):
        assert single.until(lambda job: job.version > 1, job, 0) == (job, True)
        single.events(job, seen=0, key_holds=lambda: True).close()


def test_every_wait_looks_again_after_a_lost_subscription_is_restored(api: Api, job: Job, changes: Changes):
    with changes.watched(job.id) as changed:
        await_that(lambda: api.redis.pubsub_numsub(CHANGES)[0][1] > 0)
        assert changed.wait(PATIENCE), "the subscription has begun"
        changed.clear()
        api.redis.client_kill_filter(_type="pubsub")
        assert changed.wait(PATIENCE)


def test_a_stopping_service_answers_the_requests_that_wait(servers, ledger: Ledger, tmp_path, elsewhere):
    with serving(servers, tmp_path) as (stopped, process):
        job = ledger.read(stopped.submit(PNG).json()["id"])
        events = iter(Events(stopped, job))
        assert next(events)[0] == "1"
        asked = waiting(stopped, elsewhere, job, WAIT)
        process.terminate()
        assert asked.result().status == 200
        assert list(events) == []
        assert process.wait(PATIENCE) == 0
