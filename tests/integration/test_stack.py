"""The stack of one machine: it starts, says so, restarts what dies, keeps data, leaves nothing behind."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import urllib3
from PIL import Image
from redis import Redis

from stack.part import ROOT
from stack.parts import SECRETS, SECRETS_OF_ROLE, SIGNING_KEY
from stack.receiver import Receiver
from tests import pictures
from tests.conftest import QUEUES, await_that
from tests.integration.conftest import SECONDS, Stack, launch, processes_of, running

PARTS = {"api", "worker", "delivery", "sweeper", "flower", "redis", "s3"}


def test_flower_shows_the_worker_that_analysed_and_the_task_that_it_did(
    stack: Stack, receiver: Receiver
) -> None:
    job = stack.submit(callback_url=receiver.url)
    assert stack.settled(job["id"])["delivery"] == "delivered"
    assert receiver.wait_for(job["id"], SECONDS).job["state"] == "succeeded"
    workers = flower(stack, "/workers?json=1").json()["data"]
    names = {worker["hostname"].partition("@")[0]: worker for worker in workers}
    assert set(names) == {"inference", "delivery"}
    assert names["inference"]["status"] is True
    await_that(
        lambda: (
            tasks_in_flower(stack, job["id"])
            == {
                f"{job['id']}-1": ("analyse", "SUCCESS", "inference"),
                f"{job['id']}-deliver-1": ("deliver", "SUCCESS", "delivery"),
            }
        )
    )


def test_flower_shows_a_failed_job_as_a_failure_and_its_message_is_gone(stack: Stack) -> None:
    job = stack.settled(stack.submit(pictures.encoded(pictures.colours()))["id"])
    assert (job["state"], job["error"]["type"]) == ("failed", "not-a-radiograph")
    failed = {f"{job['id']}-1": ("analyse", "FAILURE", "inference")}
    await_that(lambda: tasks_in_flower(stack, job["id"]) == failed)
    redis = Redis.from_url(stack.ready["redis"])
    await_that(lambda: not any(job["id"].encode() in message for message in redis.hvals("unacked")))


def test_flower_shows_a_lost_attempt_as_failed_and_the_next_as_succeeded(stack: Stack) -> None:
    redis = Redis.from_url(stack.ready["redis"])
    # More than the worker analyses while they are submitted: one would be over before it is looked at.
    jobs = [stack.submit()["id"] for _ in range(16)]
    await_that(lambda: any(redis.hget(f"job:{job}", "state") == b"running" for job in jobs))
    os.kill(stack.ready["pids"]["worker"], signal.SIGKILL)
    settled = [stack.settled(job) for job in jobs]
    assert {job["state"] for job in settled} == {"succeeded"}
    lost = [job["id"] for job in settled if job["attempts"] == 2]
    assert lost
    for job in lost:
        shown = {
            f"{job}-1": ("analyse", "FAILURE", "inference"),
            f"{job}-2": ("analyse", "SUCCESS", "inference"),
        }
        await_that(lambda job=job, shown=shown: tasks_in_flower(stack, job) == shown)


def test_flower_shows_all_queues_on_its_broker_page(stack: Stack) -> None:
    page = flower(stack, "/broker").data.decode()
    named = re.findall(r"infer\.\w+|deliver|>celery<", page)
    assert set(named) == set(QUEUES)


def tasks_in_flower(stack: Stack, job_id: str) -> dict[str, tuple[str, str, str]]:
    """Name, state and worker of the tasks that Flower's page of tasks finds for a job, by their ids."""
    query = {"draw": 1, "start": 0, "length": 10, "order[0][column]": 0, "search[value]": f"args:{job_id}"}
    page = flower(stack, "/tasks/datatable", fields=query).json()
    return {
        task["uuid"]: (task["name"], task["state"], str(task["worker"]).partition("@")[0])
        for task in page["data"]
    }


def flower(stack: Stack, path: str, method: str = "GET", **kwargs: Any) -> urllib3.BaseHTTPResponse:
    """What Flower answers to who has its password."""
    ready = stack.ready
    headers = urllib3.make_headers(basic_auth=f"{ready['flower_user']}:{ready['flower_password']}")
    return urllib3.request(method, ready["flower"] + path, headers=headers, **kwargs)


def test_flower_asks_for_its_password_and_changes_nothing(stack: Stack) -> None:
    for path in ("/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks"):
        assert urllib3.request("GET", stack.ready["flower"] + path, redirect=False).status == 401, path
        assert flower(stack, path).status == 200, path
    name = flower(stack, "/workers?json=1").json()["data"][0]["hostname"]
    for path in (f"/api/worker/shutdown/{name}", "/api/task/async-apply/analyse", "/api/task/revoke/x"):
        assert urllib3.request("POST", stack.ready["flower"] + path).status == 401, path
        assert flower(stack, path, "POST", body="{}").status == 403, path


def test_each_part_has_the_secrets_that_it_needs_and_no_others(stack: Stack) -> None:
    for part, role in {"worker": "inference", **{name: name for name in PARTS - {"worker"}}}.items():
        if role not in SECRETS_OF_ROLE:
            continue
        environment = Path(f"/proc/{stack.ready['pids'][part]}/environ").read_bytes().decode()
        given = {pair.partition("=")[0] for pair in environment.split("\0")}
        assert given & SECRETS <= SECRETS_OF_ROLE[role], part
        assert (SIGNING_KEY in given) == (part in ("api", "delivery")), part


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to paste its line to")
def test_the_curl_lines_work_as_pasted(stack: Stack) -> None:
    submit, read = (line for line in stack.read().splitlines() if line.strip().startswith("curl "))
    answer = json.loads(subprocess.check_output(shlex.split(submit), cwd=ROOT))
    assert answer["state"] == "queued"
    read = read.replace("/ID", "/" + answer["id"])
    assert json.loads(subprocess.check_output(shlex.split(read), cwd=ROOT))["id"] == answer["id"]
    assert stack.settled(answer["id"])["state"] == "succeeded"


@pytest.mark.parametrize(
    ("image", "size"), [([], (454, 373)), pytest.param(["synthetic"], (540, 720), marks=pytest.mark.long)]
)
def test_the_demo_prints_the_finished_job_alone_and_leaves_nothing(
    tmp_path: Path, image: list[str], size: tuple[int, int]
) -> None:
    done = run_demo(tmp_path, *image)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["state"], job["delivery"]) == ("succeeded", "delivered")
    overlay = tmp_path / "demo/overlay.png"
    assert str(overlay) in done.stderr
    with Image.open(io.BytesIO(overlay.read_bytes())) as picture:
        assert picture.format == "PNG"
        assert picture.size == (job["result"]["image"]["width"], job["result"]["image"]["height"]) == size
    assert not processes_of(tmp_path)
    assert list((tmp_path / "demo").iterdir()) == [overlay]


def test_the_demo_refuses_an_image_that_is_not_there(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "no-such.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such.png" in done.stderr


def run_demo(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (sys.executable, "-m", "stack", "demo", *arguments),
        cwd=ROOT,
        env={**os.environ, "OSTEO_VAR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_while_starting_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    stack = launch(tmp_path)
    await_that(lambda: (tmp_path / "log/worker.log").exists())
    assert stack.stop(number) == 0
    assert "ready" not in stack.process.communicate()[0]
    assert not stack.processes()
    assert not (tmp_path / "ready.json").exists()


def test_a_stack_without_its_model_says_so_and_stops(tmp_path: Path) -> None:
    stack = launch(tmp_path, OSTEO_BUNDLE=str(tmp_path / "no-bundle"))
    assert stack.process.wait(SECONDS) == 1
    output = stack.process.communicate()[1]
    assert re.search(r"worker \(process \d+\) died: ended with exit status \d", output)
    assert "no-bundle" in output
    assert not stack.processes()


def test_a_stack_serves_restarts_its_parts_and_keeps_its_data(stack: Stack) -> None:
    ready = stack.ready
    assert set(ready) == {
        *("api", "flower", "flower_user", "flower_password", "s3", "redis", "api_key", "pids"),
        *("reading_room", "reader_key", "totp_secret", "metrics"),
    }
    assert set(ready["pids"]) == {*PARTS, "shadow"}
    assert (stack.folder / "ready.json").stat().st_mode & 0o777 == 0o600
    assert ready["redis"].split("@")[0] != ready["redis"], "Redis asks for a password"
    assert set(ready["pids"].values()) <= set(stack.processes())
    secrets = json.loads((stack.folder / "secrets.json").read_text())
    for command in stack.processes().values():
        assert not any(secret in command for secret in secrets.values()), "other users see command lines"

    refuses_a_second_one(stack)
    restarts_what_is_killed(stack, "sweeper")
    restarts_what_is_killed(stack, "s3")
    restarts_what_is_killed(stack, "api")
    job = stack.settled(stack.submit()["id"])
    assert job["state"] == "succeeded"
    await_that(lambda: "SUCCESS" in str(tasks_in_flower(stack, job["id"])))

    assert stack.stop(signal.SIGINT) == 0
    out, err = stack.process.communicate()
    out = stack.told + out
    assert out.startswith("ready\n")
    assert ready["api_key"] in out
    assert ready["flower_password"] in out
    assert "sweeper (process" in err
    assert not stack.processes()
    assert not (stack.folder / "ready.json").exists()

    with running(stack.folder) as again:
        assert set(again.ready["pids"]) == PARTS, "a shadow runs where one is asked for"
        assert again.ready["api_key"] == ready["api_key"]
        links = {name: link.replace(ready["api"], "") for name, link in job["links"].items()}
        assert again.job(job["id"])["result"] == job["result"]
        await_that(lambda: "SUCCESS" in str(tasks_in_flower(again, job["id"])))
        assert again.request("GET", links["heatmap"]).data[:4] == b"\x89PNG"

        again.process.kill()
        again.process.wait()
        await_that(lambda: not again.processes())


def refuses_a_second_one(stack: Stack) -> None:
    port = stack.ready["api"].rpartition(":")[2]
    same_port = launch(stack.folder / "other", PORT=port)
    assert same_port.process.wait(SECONDS) == 2
    output = same_port.process.communicate()[1]
    assert f"port {port}" in output
    assert "PORT" in output
    same_folder = launch(stack.folder)
    assert same_folder.process.wait(SECONDS) == 2
    assert f"process id {stack.process.pid} holds" in same_folder.process.communicate()[1]
    assert stack.ready["pids"]["api"], "the refused one has not touched the ready file of the running one"


def restarts_what_is_killed(stack: Stack, part: str) -> None:
    before = stack.ready["pids"]
    os.kill(before[part], signal.SIGKILL)
    await_that(lambda: stack.ready["pids"][part] != before[part])
    after = stack.ready["pids"]
    assert after[part] in stack.processes()
    assert {name for name in before if before[name] != after[name]} == {part}
