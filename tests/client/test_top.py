"""`osteo top`: what an operator sees of a service in a terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.record.job import now
from osteo_client.command.top import lines
from tests import pictures
from tests.api.conftest import RESULT, Api
from tests.conftest import WAIT_SECONDS

ROOT = Path(__file__).parents[2]
_RUN = "import sys; from osteo_client.command.main import main; sys.exit(main())"
COMMAND = (sys.executable, "-c", _RUN, "top")


def environment(url: str) -> dict[str, str]:
    """Without a key: an operator needs none."""
    return {**os.environ, "OSTEO_URL": url, "OSTEO_KEY": "", "PYTHONPATH": str(ROOT / "client")}


def once(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, "--once", *arguments], env=environment(url), capture_output=True, text=True
    )


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line[2:].startswith(name))


def test_top_shows_a_service_once_in_80_columns_without_a_terminal(api: Api):
    for name in ("inference:a:1", "delivery:a:1"):
        api.ledger.view.heartbeats.beat(name)
    done = once(api.url)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert line_of(done.stdout, "stores").endswith("redis answers   object store answers")
    assert line_of(done.stdout, "processes").startswith("! "), "there is no sweeper"
    assert line_of(done.stdout, "stat").endswith("0 wait   oldest 0 s   none answered yet")


def test_top_shows_what_waits_and_what_had_its_answer_in_time(api: Api):
    png = pictures.encoded(pictures.gray())
    waiting, answered = (api.ledger.read(api.submit(png, priority="stat").json()["id"]) for _ in range(2))
    started = api.ledger.append(answered.started("inference:a:1", now()))
    api.ledger.append(started.succeeded(RESULT, answered.created_at + timedelta(seconds=40)))
    done = once(api.url)
    assert re.search(r"1 wait   oldest \d+ s   0\.0% of 1 within 30 s$", line_of(done.stdout, "stat"))
    assert "1 succeeded" in line_of(done.stdout, "jobs")
    document = json.loads(once(api.url, "--json").stdout)
    assert document['osteo_jobs_waiting{priority="stat"}'] == 1
    assert waiting.id not in done.stdout


def test_top_goes_on_in_a_terminal_until_it_is_interrupted(api: Api):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--every", "0.1"],
        env=environment(api.url),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # A shell that runs the tests in the background ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    seen = b""
    with suppress(OSError):  # Its end.
        while seen.count(b"\x1b[H\x1b[J") < 3:
            assert select.select([ours], [], [], WAIT_SECONDS)[0], "nothing is shown any more"
            seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + WAIT_SECONDS
    with suppress(OSError):  # Its end. A terminal that nothing reads would block its last writes.
        while select.select([ours], [], [], WAIT_SECONDS)[0] and os.read(ours, 4096):
            if time.monotonic() > deadline:
                process.kill()
    assert process.wait(WAIT_SECONDS) == 0, seen
    os.close(ours)
    assert re.search(rb"requests +[0-9.]+/s answered", seen), "a rate, from the second look on"


@pytest.mark.parametrize("path", ["/v1", "/docs"])
def test_top_at_another_page_says_that_it_has_no_metrics(api: Api, path: str):
    done = once(api.url + path)
    assert done.returncode == 3
    assert "is no page of metrics" in done.stderr


def test_top_without_a_service_says_that_it_does_not_answer():
    done = once("http://127.0.0.1:1")
    assert done.returncode == 4
    assert "does not answer" in done.stderr


WELL = {
    ("osteo_redis_up", ""): 1.0,
    ("osteo_object_store_up", ""): 1.0,
    ("osteo_object_store_takes_writes", ""): 1.0,
    **{("osteo_processes", f'role="{role}"'): 1.0 for role in ("inference", "delivery", "sweeper")},
}


@pytest.mark.parametrize(
    ("name", "labels", "value", "line"),
    [
        ("osteo_redis_up", "", 0, "stores"),
        ("osteo_object_store_takes_writes", "", 0, "stores"),
        ("osteo_processes", 'role="inference"', 0, "processes"),
        ("osteo_jobs_oldest_seconds", 'priority="stat"', 61, "stat"),
        ("osteo_dead_letters", "", 1, "jobs"),
        ("osteo_receivers", 'state="disabled"', 1, "callbacks"),
        ("osteo_readings_overdue", 'priority="stat"', 1, "readings"),
    ],
)
def test_a_line_is_marked_where_it_asks_for_an_operator(name: str, labels: str, value: float, line: str):
    assert [shown for shown in lines(WELL, None, 1) if shown.startswith("!")] == []
    marked = [shown for shown in lines({**WELL, (name, labels): value}, None, 1) if shown.startswith("!")]
    assert [shown[2:].split()[0] for shown in marked] == [line]


def test_each_client_has_a_line_where_the_service_names_clients():
    labels = 'client="clinic-a",priority="routine"'
    queue = {("osteo_client_jobs_waiting", labels): 7.0, ("osteo_client_jobs_oldest_seconds", labels): 180.0}
    shown = list(lines(WELL | queue, None, 1))[-1]
    assert shown.split() == ["routine", "7", "wait", "oldest", "3", "min", "clinic-a"]
