"""docs/integrate.md, as a newcomer follows it: from nothing to a verified callback."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import urllib3

from api.openapi.examples import EVENT_EXAMPLES
from jobs.callbacks.signing import signed
from jobs.record.events import EVENTS, READING_EVENTS, TARGETS_EVENT
from jobs.record.job import moment_text, now
from jobs.record.study import concluded
from jobs.store.ledger import Ledger
from stack.addresses import free_ports
from stack.part import ROOT
from tests.api.conftest import RESULT
from tests.conftest import a_job, a_study, await_that
from tests.integration.conftest import Stack
from tests.integration.pages import Newcomer, following, unrun_blocks
from worker.delivery.deliver import event_of

PAGE = (ROOT / "docs/integrate.md").read_text()


@pytest.fixture(scope="module")
def newcomer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    flask, node = free_ports(2)
    places = {
        "http://127.0.0.1:8000": stack.ready["api"],
        "var/": f"{stack.folder}/",
        "9000": str(flask),
        "9001": str(node),
    }
    with following(PAGE, tmp_path_factory.mktemp("newcomer"), places) as newcomer:
        newcomer.run("export OSTEO_URL")
        yield newcomer


def told_of(job_id: str, log: Path) -> Callable[[], bool]:
    """Whether the receiver has printed that a callback about this job is verified."""
    line = re.compile(rf"^verified \S+ job\.succeeded {job_id} .*", re.MULTILINE)
    return lambda: bool(line.search(log.read_text()))


@pytest.fixture(scope="module")
def flask_log(newcomer: Newcomer) -> Path:
    """The log of the receiver in Python, which runs."""
    newcomer.run("python3 -m venv")
    log = newcomer.folder / "flask.log"
    newcomer.start("/tmp/osteo/bin/python /tmp/receiver.py", log)
    await_that(lambda: "Running on" in log.read_text())
    return log


@pytest.fixture(scope="module")
def node_log(newcomer: Newcomer) -> Path:
    """The log of the receiver in JavaScript, which runs."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node on this machine")
    log = newcomer.folder / "node.log"
    newcomer.start("node /tmp/receiver.mjs", log)
    url = newcomer.moved("http://127.0.0.1:9001/callback")
    await_that(lambda: _answers(url))
    return log


def _answers(url: str) -> bool:
    try:
        return urllib3.request("POST", url, body=b"{}", retries=False).status == 401
    except urllib3.exceptions.HTTPError:
        return False


def test_curl_and_python_get_a_verified_callback(newcomer: Newcomer, flask_log: Path, stack: Stack):
    said = newcomer.run("curl -sS -H")
    assert '"finding"' in said
    assert (newcomer.folder / "overlay.png").read_bytes().startswith(b"\x89PNG")
    (job,) = re.findall(r'"(job_\w+)"', (newcomer.folder / "job.json").read_text())[:1]
    await_that(told_of(job, flask_log))
    assert newcomer.run("/tmp/osteo/bin/python /tmp/send.py").split()[0] in (
        *("fracture", "no_fracture", "indeterminate"),
    )
    await_that(lambda: told_of(of_reference(stack, "visit-18"), flask_log)())


def test_a_test_event_and_a_study_arrive_as_the_page_says(newcomer: Newcomer, flask_log: Path, stack: Stack):
    probe = json.loads(newcomer.run("curl -sS -f"))["id"]
    await_that(lambda: f" webhook.test {probe} " in flask_log.read_text())
    url = newcomer.moved("http://127.0.0.1:9000/callback")
    fields = [("image", ("a", stack.radiograph)), ("callback_url", url)]
    study = stack.request("POST", "/v1/studies", fields=fields).json()["id"]
    await_that(lambda: f" study.succeeded {study} " in flask_log.read_text())


def test_javascript_gets_a_verified_callback(newcomer: Newcomer, node_log: Path, stack: Stack):
    assert "finding" in newcomer.run("node /tmp/send.mjs")
    await_that(told_of(of_reference(stack, "visit-19"), node_log))


def every_event() -> list[dict[str, Any]]:
    """An event of each type that the service sends, as it makes them, and one that it may send one day."""
    running = a_job().started("w", now())
    ended = [
        running.succeeded(RESULT, now()),
        running.failed("not-a-radiograph", "It is a photograph.", now()),
        a_job().expired(now()),
        a_job().canceled(now()),
    ]
    events = [event_of(job, cast(Ledger, None), "", now()) for job in ended]
    for outcome in (running.succeeded(RESULT, now()), ended[1]):
        study, (view,) = a_study(1)
        views = [replace(outcome, id=view.id, study=study.id)]
        done = concluded(study, views)
        assert done
        ledger = cast(Ledger, SimpleNamespace(current_many=lambda _, views=views: views))
        events.append(event_of(done, ledger, "", now()))
    events += [{**EVENT_EXAMPLES[name]} for name in (*READING_EVENTS, TARGETS_EVENT)]
    for type_ in ("webhook.test", "radiograph.invented"):
        events.append({"type": type_, "timestamp": moment_text(now()), "data": {"id": "probe_1"}})
    assert {event["type"] for event in events} == {*EVENTS, "webhook.test", "radiograph.invented"}
    return events


@pytest.mark.parametrize("receiver", ["flask", "node"])
def test_each_receiver_takes_every_event_and_refuses_a_forged_one(
    newcomer: Newcomer, stack: Stack, request: pytest.FixtureRequest, receiver: str
):
    log: Path = request.getfixturevalue(f"{receiver}_log")
    url = newcomer.moved(f"http://127.0.0.1:{'9000' if receiver == 'flask' else '9001'}/callback")
    for event in every_event():
        body, headers = signed("msg_1", event, [stack.webhook_secret], now())
        answer = urllib3.request("POST", url, body=body, headers=headers, retries=False)
        assert answer.status == 204, (event["type"], log.read_text())
        assert f"verified msg_1 {event['type']} " in log.read_text()
    headers["webhook-signature"] = "v1,AAAA"
    assert urllib3.request("POST", url, body=body, headers=headers, retries=False).status == 401


def of_reference(stack: Stack, reference: str) -> str:
    """The id of the newest job with this reference."""
    jobs = stack.request("GET", "/v1/jobs?limit=100").json()["jobs"]
    return str(next(job["id"] for job in jobs if job["reference"] == reference))


def test_every_block_of_the_page_is_run():
    assert not unrun_blocks(PAGE, Path(__file__), "python3")
