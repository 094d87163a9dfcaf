"""`osteo batch`: an archive is a bounded stream that goes on where it stopped, and never before patients."""

import asyncio
import os
import signal
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest

from admin.keys import Keys
from jobs.store.objects import Objects
from osteo_client import AsyncClient
from osteo_client.command.archive import Bucket
from osteo_client.command.batch import _Stream
from osteo_client.command.batch_state import BatchState
from osteo_client.command.progress import Output
from osteo_client.command.table import table
from tests import pictures
from tests.api.conftest import Api
from tests.client.conftest import PNG, Worker
from tests.client.test_command import OSTEO, folder, lines, osteo
from tests.client.test_command_tables import rows
from tests.conftest import Servers, await_that

__all__ = ["folder", "osteo"]


@pytest.fixture
def client_name() -> str:
    return f"archive-{uuid4().hex[:8]}"


@pytest.fixture
def key(api: Api, client_name: str) -> str:
    return Keys(api.records).create(client_name)


@pytest.fixture
def ending(api: Api, worker: Worker, client_name: str) -> Iterator[dict[str, str]]:
    """Ends the client's jobs as they come; yields the priority of each job that was seen."""
    seen: dict[str, str] = {}
    done = Event()

    def end() -> None:
        while not done.wait(0.05):
            for job_id in list(api.ledger.of_client(client_name, None)):
                if job_id not in seen:
                    seen[job_id] = api.ledger.read(job_id).priority
                    worker.succeed(job_id)

    thread = Thread(target=end)
    thread.start()
    yield seen
    done.set()
    thread.join()


def test_a_folder_is_analysed_once_with_priority_archive(
    osteo: Any, folder: Path, ending: dict[str, str], tmp_path: Path
):
    (folder / "broken.png").write_bytes(PNG[:100])
    # A name that is no UTF-8.
    Path(os.fsdecode(bytes(folder / "6.jpeg").replace(b"6.jpeg", b"6\xff.jpeg"))).write_bytes(
        (folder / "6.jpeg").read_bytes()
    )
    (folder / "6.jpeg").unlink()
    run = osteo("batch", folder, "--csv", "t.csv", "--json")
    assert run.returncode == 3
    *said, summary = lines(run)
    assert summary["images"] == 8
    assert summary["counts"] == {"fracture": 7, "refused": 1}
    assert set(ending.values()) == {"archive"}
    assert len(ending) == 7
    table = {row["file"]: row for row in rows(tmp_path / "t.csv")}
    assert table["deeper/1.jpeg"]["finding"] == "fracture"
    assert table["broken.png"]["error"]
    (state,) = (tmp_path / "state" / "osteo").glob("batch-*.sqlite")
    assert state.stat().st_mode & 0o077 == 0, "names of files may be names of patients"
    again = osteo("batch", folder, "--json")
    assert (again.returncode, lines(again)) == (0, [summary]), "nothing is sent or asked again"
    changed = pictures.gray()
    changed[3, 3] = 77
    (folder / "0.png").write_bytes(pictures.encoded(changed, "PNG"))
    *said, summary = lines(osteo("batch", folder, "--json"))
    assert [line["file"] for line in said] == ["0.png"]
    assert len(ending) == 8


def test_after_a_kill_the_same_command_goes_on_with_the_same_jobs(
    osteo: Any, folder: Path, api: Api, client_name: str, key: str, tmp_path: Path, request: Any
):
    killed = subprocess.Popen(
        [OSTEO, "batch", folder, "--at-once", "3"],
        cwd=tmp_path,
        env={"OSTEO_URL": api.url, "OSTEO_KEY": key, "XDG_STATE_HOME": str(tmp_path / "state")},
    )
    await_that(lambda: len(list(api.ledger.of_client(client_name, None))) == 3)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    first = set(api.ledger.of_client(client_name, None))
    assert len(first) == 3, "no more than were asked for are under way"
    ending = request.getfixturevalue("ending")
    assert osteo("batch", folder).returncode == 0
    assert first < set(ending)
    assert len(ending) == 7, "none was sent twice"


def test_a_bucket_is_read_below_its_prefix(
    api: Api, servers: Servers, key: str, ending: dict[str, str], tmp_path: Path
):
    bucket = f"archive-{uuid4().hex[:8]}"
    objects = Objects.connect(servers.s3_url, bucket)
    objects.make_bucket()
    for name in ("2019/a.png", "2019/deeper/b.png", "2020/c.png"):
        image = pictures.gray()
        image[0, 0] = len(name)
        objects.put(f"old/{name}", pictures.encoded(image))
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    service = {"OSTEO_URL": api.url, "OSTEO_KEY": key, "AWS_ENDPOINT_URL_S3": servers.s3_url}

    def batch(bucket: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [OSTEO, "batch", f"s3://{bucket}/old/2019/", "--json"],
            env={**aws, **service, "XDG_STATE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    *said, summary = lines(batch(bucket))
    assert sorted(line["file"] for line in said) == ["old/2019/a.png", "old/2019/deeper/b.png"]
    assert summary["counts"] == {"fracture": 2}
    nowhere = batch("no-such-bucket")
    assert nowhere.returncode == 3
    assert "cannot be listed" in nowhere.stdout
    service["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:9"
    away = batch(bucket)
    assert away.returncode == 3
    assert "cannot be listed" in away.stdout
    assert "Traceback" not in away.stderr


@pytest.mark.parametrize(
    ("source", "says"),
    [("s3://", "names no bucket"), ("no-such-folder", "is no folder; give a folder or s3://")],
)
def test_a_source_that_is_none_is_refused_with_what_to_give(osteo: Any, source: str, says: str):
    run = osteo("batch", source)
    assert run.returncode == 3
    assert says in run.stderr
    assert osteo("batch", "x", "--at-once", "0").returncode == 2


class Pages:
    """Lists objects a page at a time, as S3 does."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get_paginator(self, name: str) -> "Pages":
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        for page in range(self.number):
            names = [f"{page:04}-{number:03}" for number in range(1000)]
            yield {"Contents": [{"Key": f"old/{name}.png", "ETag": f'"{name}"', "Size": 9} for name in names]}


@pytest.mark.parametrize("pages", [30, pytest.param(1000, marks=pytest.mark.long)])
def test_memory_stays_flat_over_a_million_images(pages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    state = BatchState("http://service.example", "s3://archive/old")
    archive = Bucket(Pages(pages), "archive", "old", (OSError,))
    state._database.execute("BEGIN")
    for entry in archive.entries(lambda file, error: None):
        state.put(entry, {"job": "job_1", "finding": "no_fracture"}, ended=True)
    state._database.execute("COMMIT")

    async def run_again() -> None:
        async with AsyncClient("http://127.0.0.1:9", "osteo_key") as client:
            stream = _Stream(client, state, Output(as_json=True, keeps_rows=False))
            await stream.run(archive, 32)

    tracemalloc.start()
    try:
        asyncio.run(run_again())
        rows = sum(1 for _ in table(state.rows()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20, "thirty thousand rows alone would take more"
    assert rows == pages * 1000 + 1
    assert state.counts() == {"no_fracture": pages * 1000}
    state.close()
