"""`osteo`, as it is called at a terminal and by scripts."""

import contextlib
import ctypes
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from admin.keys import Keys
from osteo_client.command.submitted import NAME, Submitted, key_of
from tests import pictures
from tests.api.conftest import Api
from tests.client.conftest import PNG, Door, Worker

OSTEO = Path(sys.executable).with_name("osteo")
COUNT = 7


@pytest.fixture
def key(api: Api) -> str:
    """A client of this test's own, so that it sees its own jobs only."""
    return Keys(api.records).create(f"terminal-{time.monotonic_ns()}")


@pytest.fixture
def osteo(api: Api, key: str, tmp_path: Path) -> Callable[..., Any]:
    """Runs the command in a folder of its own; with `--json` its lines are read."""

    def run(*arguments: object, url: str = api.url, key: str = key) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [OSTEO, *map(str, arguments)],
            cwd=tmp_path,
            env={"OSTEO_URL": url, "OSTEO_KEY": key, "XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of X-rays, some deeper than others, with what is none beside them."""
    folder = tmp_path / "x-rays"
    (folder / "deeper").mkdir(parents=True)
    for number in range(COUNT):
        image = pictures.gray()
        image[0, 0] = number
        place = folder / "deeper" if number % 2 else folder
        kind = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")[number % 5]
        (place / f"{number}.{kind.lower()}").write_bytes(pictures.encoded(image, kind))
    (folder / "a-list-of-patients.csv").write_text("Doe,Jane,1970-01-01\n")
    (folder / ".hidden.png").write_bytes(PNG)
    return folder


def lines(run: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_a_file_is_submitted_and_followed_to_its_end(osteo: Any, worker: Worker, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(PNG)
    (printed,) = lines(osteo("submit", "x.png", "--priority", "stat", "--json"))
    assert printed["file"] == "x.png"
    assert worker.job(printed["id"]).priority == "stat"
    (status,) = lines(osteo("status", printed["id"], "--json"))
    assert status["job"]["state"] == "queued"
    worker.succeed(printed["id"])
    result = osteo("result", printed["id"])
    assert (result.returncode, result.stdout) == (
        0,
        f"{printed['id']}  succeeded  fracture 0.90  {tmp_path / 'x.png'}\n",
    )
    heatmap = osteo("heatmap", printed["id"], "-o", "overlay.png")
    assert (heatmap.returncode, heatmap.stdout) == (0, "overlay.png\n")
    assert (tmp_path / "overlay.png").read_bytes().startswith(b"\x89PNG")
    assert printed["id"] in osteo("status").stdout


@pytest.mark.parametrize(("probability", "text"), [(0.0041, "< 0.01"), (0.9961, "> 0.99")])
def test_a_probability_at_the_edge_is_printed_as_a_bound(
    osteo: Any, worker: Worker, tmp_path: Path, probability: float, text: str
):
    (tmp_path / "x.png").write_bytes(PNG)
    (printed,) = lines(osteo("submit", "x.png", "--json"))
    worker.succeed(printed["id"], probability=probability, regions=[])
    assert f"  fracture {text}  " in osteo("result", printed["id"]).stdout


def test_a_folder_is_sent_once_without_what_is_no_image(osteo: Any, folder: Path, door: Door):
    first = osteo("submit", folder, "--json", url=door.url)
    assert first.returncode == 0, first.stderr
    assert len(lines(first)) == COUNT
    assert len(door.seen) == COUNT
    assert not [seen for seen in door.seen if b"Doe" in seen.body]
    again = osteo("submit", folder, "--json", url=door.url)
    assert {line["id"] for line in lines(again)} == {line["id"] for line in lines(first)}
    assert len(door.seen) == COUNT


def test_an_interrupted_folder_goes_on_where_it_stood(
    osteo: Any, folder: Path, door: Door, api: Api, key: str, tmp_path: Path
):
    door.treat = lambda n: (503, {"Retry-After": "100"}, b"") if n > 3 else None
    running = subprocess.Popen(
        [OSTEO, "submit", folder],
        env={"OSTEO_URL": door.url, "OSTEO_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs tests in the background may have told them to ignore it, and that is handed on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    said = [running.stdout.readline() for _ in range(3)]
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "goes on from here" in complaint
    assert "Traceback" not in complaint
    door.seen.clear()
    door.treat = lambda n: None
    rest = osteo("submit", folder, "--json", url=door.url)
    ids = {line["id"] for line in lines(rest)}
    assert {line.split()[0] for line in said} < ids
    assert len(ids) == COUNT
    assert len(door.seen) == COUNT - 3
    assert len(lines(osteo("status", "--json"))) == COUNT


def test_submissions_are_known_after_a_crash_in_the_middle_of_a_line(tmp_path: Path):
    submitted = Submitted(tmp_path, "https://osteo.example")
    submitted.add(key_of(b"1"), "job_1")
    submitted.add(key_of(b"2"), "job_2")
    file = tmp_path / NAME
    file.write_bytes(file.read_bytes()[:-20])
    after = Submitted(tmp_path, "https://osteo.example")
    assert (after.job_of(key_of(b"1")), after.job_of(key_of(b"2"))) == ("job_1", None)
    after.add(key_of(b"2"), "job_2")
    mended = Submitted(tmp_path, "https://osteo.example")
    assert (mended.job_of(key_of(b"1")), mended.job_of(key_of(b"2"))) == ("job_1", "job_2")


def test_jobs_of_another_service_are_not_taken_for_this_ones(tmp_path: Path):
    Submitted(tmp_path, "https://osteo.example").add(key_of(b"1"), "job_1")
    assert Submitted(tmp_path, "https://other.example").job_of(key_of(b"1")) is None


def test_the_key_of_a_submission_tells_images_and_fields_apart():
    keys = [key_of(b"1", None, None), key_of(b"2", None, None), key_of(b"1", "https://a.example", None)]
    assert len(set(keys)) == 3
    assert keys[0] == key_of(b"1", None, None)


def test_waiting_for_many_says_how_each_ended(osteo: Any, folder: Path, worker: Worker):
    sent = lines(osteo("submit", folder, "--json"))
    for line in sent[1:]:
        worker.succeed(line["id"])
    worker.fail(sent[0]["id"])
    waited = osteo("submit", folder, "--wait", "--json")
    assert waited.returncode == 1
    ended = {line["file"]: line["job"]["state"] for line in lines(waited)}
    assert ended == {line["file"]: "succeeded" for line in sent} | {sent[0]["file"]: "failed"}
    assert osteo("watch", *(line["id"] for line in sent[1:])).returncode == 0
    assert osteo("watch").stdout == ""


def test_a_bar_shows_at_a_terminal_what_is_done(osteo: Any, folder: Path, api: Api, key: str):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    running = subprocess.Popen(
        [OSTEO, "submit", folder],
        env={"OSTEO_URL": api.url, "OSTEO_KEY": key, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    out, _ = running.communicate()
    shown = ""
    with contextlib.suppress(OSError):  # Linux says so that a terminal has been left.
        while part := os.read(ours, 4096):
            shown += part.decode()
    os.close(ours)
    assert "sending: 100%" in shown
    assert f"{COUNT}/{COUNT}" in shown
    assert len(out.splitlines()) == COUNT


def test_one_bad_file_among_many_is_reported_and_the_rest_sent(osteo: Any, folder: Path):
    (folder / "broken.jpg").write_bytes(pictures.truncated_jpeg())
    run = osteo("submit", folder)
    assert run.returncode == 3
    assert len(run.stdout.splitlines()) == COUNT
    assert "broken.jpg: 422 broken-image" in run.stderr
    as_json = lines(osteo("submit", folder, "--json"))
    assert [line["error"]["status"] for line in as_json if "error" in line] == [422]


def test_errors_say_what_to_do_and_their_exit_status_tells_them_apart(osteo: Any, tmp_path: Path, door: Door):
    (tmp_path / "x.png").write_bytes(PNG)
    runs = {
        "no such file": (osteo("submit", "y.png"), 3, "y.png: No such file or directory"),
        "wrong key": (osteo("submit", "x.png", key="wrong"), 3, "401 unauthorized: Send a valid API key"),
        "no key": (osteo("submit", "x.png", key=""), 2, "set OSTEO_KEY"),
        "no address": (osteo("status", url="osteo.example"), 2, "begins with https://"),
        "no such job": (osteo("result", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV"), 3, "404 no-such-job"),
        "callback": (osteo("submit", "x.png", "--callback", "http://10.0.0.1/"), 3, "callback-refused"),
    }
    for name, (run, status, said) in runs.items():
        assert (name, run.returncode) == (name, status), run.stderr
        assert said in run.stderr
        assert "Traceback" not in run.stderr
    door.treat = lambda n: (503, {"Retry-After": "100", "Content-Type": "application/problem+json"}, b"{}")
    assert osteo("status", url=door.url).returncode == 4


def test_a_reader_that_goes_away_causes_no_error_message(osteo: Any, api: Api, key: str, folder: Path):
    osteo("submit", folder)
    run = subprocess.run(
        f"{OSTEO} status | head -n 1",
        shell=True,
        env={**os.environ, "OSTEO_URL": api.url, "OSTEO_KEY": key},
        capture_output=True,
        text=True,
    )
    assert len(run.stdout.splitlines()) == 1
    assert run.stderr == ""


def test_jobs_are_canceled_and_deleted_also_where_others_fail(
    osteo: Any, folder: Path, worker: Worker, tmp_path: Path
):
    ids = [line["id"] for line in lines(osteo("submit", folder, "--json"))]
    worker.succeed(ids[0])
    canceled = osteo("cancel", *ids[:3], "--json")
    assert canceled.returncode == 3
    refused, *others = lines(canceled)
    assert (refused["id"], refused["error"]["type"]) == (ids[0], "/problems/job-ended")
    assert [line["job"]["state"] for line in others] == ["canceled", "canceled"]
    assert osteo("watch", ids[0], ids[1]).returncode == 1
    assert osteo("delete", *ids[:2]).stdout == f"{ids[0]}  deleted\n{ids[1]}  deleted\n"
    names = (tmp_path / "state" / "osteo" / "files.jsonl").read_text()
    assert [job_id in names for job_id in ids[:3]] == [False, False, True]
    gone = osteo("result", ids[0])
    assert (gone.returncode, "410 gone" in gone.stderr) == (3, True)
    assert len(lines(osteo("status", "--json"))) == COUNT - 2


def test_a_folder_whose_list_was_lost_makes_no_second_jobs(osteo: Any, folder: Path):
    first = {line["id"] for line in lines(osteo("submit", folder, "--json"))}
    (folder / NAME).unlink()
    assert {line["id"] for line in lines(osteo("submit", folder, "--json"))} == first
    assert len(lines(osteo("status", "--json"))) == COUNT


def without_rights_of_root() -> None:
    """Let the rights of files hold for root as well, who runs tests in containers."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, dropped with the exec that follows
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.fixture
def osteo_without_rights(api: Api, key: str, tmp_path: Path) -> Callable[..., Any]:
    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [OSTEO, *map(str, arguments)],
            cwd=tmp_path,
            env={"OSTEO_URL": api.url, "OSTEO_KEY": key, "XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            preexec_fn=without_rights_of_root,
        )

    return run


def test_a_read_only_folder_is_sent_and_reported_once(osteo_without_rights: Any, folder: Path):
    folder.chmod(0o555)
    first, second = (osteo_without_rights("submit", folder) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert len(first.stdout.splitlines()) == COUNT
    assert sorted(first.stdout.splitlines()) == sorted(second.stdout.splitlines()), "no second jobs"
    assert first.stderr.count("Permission denied") == 1
    assert f"{folder}: what was sent is not kept here (Permission denied)" in first.stderr


def test_an_unreadable_file_is_named_and_stops_no_other(osteo_without_rights: Any, folder: Path):
    hidden, closed = folder / "closed.png", folder / "closed"
    hidden.write_bytes(PNG)
    hidden.chmod(0)
    closed.mkdir(mode=0)
    (folder / "empty.dcm").touch()
    (folder / "nowhere.png").symlink_to("gone.png")
    run = osteo_without_rights("submit", folder, folder / "typed-wrong.png")
    assert run.returncode == 3
    assert len(run.stdout.splitlines()) == COUNT
    said = dict(line.removeprefix("osteo: ").rsplit(": ", 1) for line in run.stderr.splitlines())
    assert said == {
        str(hidden): "Permission denied",
        str(closed): "Permission denied",
        str(folder / "empty.dcm"): "it is empty",
        str(folder / "nowhere.png"): "No such file or directory",
        str(folder / "typed-wrong.png"): "No such file or directory",
    }
    closed.chmod(0o700)


def test_a_name_that_a_terminal_would_obey_is_shown_with_escapes(osteo: Any, tmp_path: Path):
    names = [b"red\x1b[31m.png", b"two\nlines.png", b"\xff.png", "骨.png".encode()]
    for number, name in enumerate(names):
        image = pictures.gray()
        image[0, 0] = number
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/x/" + name)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/x/" + name)).write_bytes(pictures.encoded(image))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/x/bad\x1b[2J.png")).touch()
    run = osteo("submit", "x")
    assert "\x1b" not in run.stdout + run.stderr
    shown = {line.partition("  x/")[2] for line in run.stdout.splitlines()}
    assert shown == {r"red\x1b[31m.png", r"two\nlines.png", r"\udcff.png", "骨.png"}
    assert r"x/bad\x1b[2J.png: it is empty" in run.stderr


@pytest.mark.parametrize("key", ["osteo_ключ", "osteo_\x1b[A", "osteo_a\nb"])
def test_a_key_that_no_header_can_carry_is_refused_without_its_text(osteo: Any, key: str):
    run = osteo("status", key=key)
    assert run.returncode == 2
    assert "the API key holds " in run.stderr
    assert "Traceback" not in run.stderr
    assert key not in run.stderr
