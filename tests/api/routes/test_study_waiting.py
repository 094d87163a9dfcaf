"""Tests waiting for a study: by Prefer, by its ETag, and as a stream of events."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from jobs.record.job import now
from jobs.store.ledger import Ledger
from tests.api.conftest import Api
from tests.api.routes.test_studies import OTHER, PNG, end, submit
from tests.api.routes.test_waiting import PATIENCE, WAIT, looks
from tests.conftest import WatchedQueue, await_that


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture
def queue(servers) -> WatchedQueue:
    return WatchedQueue.connect(servers.redis_url)


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def asked(api: Api, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.request("GET", path, headers=given)


def test_a_study_is_answered_once_its_last_job_has_ended(api: Api, ledger: Ledger, queue, elsewhere):
    study = submit(api, PNG, OTHER).json()
    before = looks(api)
    answer = elsewhere.submit(asked, api, f"/v1/studies/{study['id']}", **WAIT)
    await_that(lambda: looks(api) >= before + 2)
    for view in study["jobs"]:
        assert not answer.done()
        end(ledger, queue, view["id"], 0.8)
    ended = answer.result(PATIENCE)
    assert (ended.json()["state"], ended.headers["Preference-Applied"]) == ("succeeded", "wait=30")
    again = asked(api, f"/v1/studies/{study['id']}", If_None_Match=ended.headers["ETag"], **WAIT)
    assert (again.status, again.data) == (304, b"")


def test_with_an_etag_a_study_is_answered_when_one_of_its_jobs_changes(api: Api, ledger: Ledger, elsewhere):
    study = submit(api, PNG, OTHER).json()
    path, second = f"/v1/studies/{study['id']}", study["jobs"][1]["id"]
    tag = asked(api, path).headers["ETag"]
    assert asked(api, path, If_None_Match=tag).status == 304
    before = looks(api)
    answer = elsewhere.submit(asked, api, path, If_None_Match=tag, **WAIT)
    await_that(lambda: looks(api) >= before + 2)
    assert not answer.done()
    ledger.append(ledger.read(second).started("w", now()))
    changed = answer.result(PATIENCE)
    assert [view["state"] for view in changed.json()["jobs"]] == ["queued", "running"]
    assert changed.headers["ETag"] != tag


def test_a_study_that_is_submitted_with_a_wait_is_answered_with_its_end(
    api: Api, ledger: Ledger, queue, elsewhere
):
    answer = elsewhere.submit(submit, api, PNG, OTHER, headers=dict(WAIT), reference="R 9")
    await_that(lambda: len(new(api)) == 2)
    for job_id in new(api):
        end(ledger, queue, job_id, 0.8)
    ended = answer.result(PATIENCE)
    assert (ended.status, ended.headers["Preference-Applied"]) == (200, "wait=30")
    assert ended.json()["summary"]["probability"] == 0.8


def new(api: Api) -> list[str]:
    return [job["id"] for job in api.request("GET", "/v1/jobs?reference=R+9&state=queued").json()["jobs"]]


def test_a_studys_stream_has_each_change_of_its_jobs_until_it_is_settled(api: Api, ledger: Ledger, queue):
    study = submit(api, PNG, OTHER).json()
    stream = urllib3.request(
        *("GET", f"{api.url}/v1/studies/{study['id']}/events"),
        headers={"Authorization": f"Bearer {api.key}"},
        timeout=PATIENCE,
        preload_content=False,
    )
    lines = iter(stream)
    first = event(lines)
    assert (first["event"], [view["state"] for view in first["data"]["jobs"]]) == ("study", ["queued"] * 2)
    for view in study["jobs"]:
        end(ledger, queue, view["id"], 0.8)
    told = [first]
    while told[-1]["data"]["state"] != "succeeded":
        told.append(event(lines))
    assert [int(one["id"]) for one in told] == sorted({int(one["id"]) for one in told})
    assert not stream.read().strip(), "it ends: nothing is left to do"
    path = f"/v1/studies/{study['id']}/events"
    assert asked(api, path, Last_Event_ID=told[-1]["id"]).status == 204
    assert f"id: {told[-1]['id']}" in asked(api, path, Last_Event_ID=told[0]["id"]).data.decode()


def event(lines: Iterator[bytes]) -> dict:
    found: dict = {}
    for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name in ("id", "event", "data"):
            found[name] = json.loads(value) if name == "data" else value
        elif not name and found:
            return found
    raise AssertionError("the stream ended")
