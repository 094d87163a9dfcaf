"""Tests that requests are counted once, over all processes of a real gunicorn."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import urllib3

from api.http.request_metrics import NO_ROUTE
from tests.api.conftest import Api, serving
from tests.api.routes.test_metrics import figures
from tests.conftest import await_that

REQUESTS = "osteo_http_requests_total"
LIVE = (REQUESTS, "GET", "/health/live", "200")
READ_ONLY = """
mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp && mount -t tmpfs -o ro tmpfs /dev/shm || exit 1
! touch here /dev/shm/here 2> /dev/null && exec "$@"
"""
"""Runs a command as docker-compose.yml does, and without /dev/shm: it can write to nothing but /tmp."""
MAY_UNSHARE = not subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode


def live(api: Api, times: int) -> None:
    """Ask so often, by a connection of its own each time: gunicorn's processes take them as they come."""
    for _ in range(times):
        with urllib3.PoolManager() as connections:
            assert connections.request("GET", f"{api.url}/health/live", retries=False).status == 200


def counted(api: Api, series: tuple[str, ...]) -> float:
    """Return the figure of a series. Every process must answer the same."""
    answers = {figures(api).get(series, 0.0) for _ in range(8)}
    assert len(answers) == 1, "processes answer differently"
    return answers.pop()


def children(process: "subprocess.Popen[bytes]") -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}


def folders_of_metrics(process: "subprocess.Popen[bytes]") -> list[set[str]]:
    """Return for each of two processes of gunicorn the folders of the files in which it counts.

    A process has none until it has started.
    """
    await_that(lambda: len(children(process)) == 2)
    return [
        set(re.findall(r"\S*/osteo-metrics-[^/]*", Path(f"/proc/{pid}/maps").read_text()))
        for pid in children(process)
    ]


def test_a_request_is_counted_once_over_all_processes(api: Api):
    before = counted(api, LIVE)
    live(api, 20)
    assert counted(api, LIVE) - before == 20
    measured = figures(api)
    assert measured["osteo_http_request_seconds_count", "GET", "/health/live"] == before + 20
    assert measured["osteo_http_request_seconds_bucket", "+Inf", "GET", "/health/live"] == before + 20
    assert measured["osteo_build_info", "0.3.0"] == 1


def test_a_label_names_the_route_and_never_what_the_client_sent(api: Api):
    series = [
        (REQUESTS, "GET", NO_ROUTE, "404"),
        (REQUESTS, "GET", "/v1/jobs/<job_id>", "404"),
        (REQUESTS, "other", NO_ROUTE, "405"),
    ]
    before = [counted(api, one) for one in series]
    for number in range(3):
        assert api.request("GET", f"/patients/doe-{number}").status == 404
        assert api.request("GET", f"/v1/jobs/doe-{number}").status == 404
        assert api.request(f"DOE{number}", "/v1/jobs").status == 405
    assert [counted(api, one) for one in series] == [count + 3 for count in before]
    assert not re.search("doe", api.request("GET", "/metrics").data.decode(), re.IGNORECASE)


def test_a_refused_submission_is_counted_by_its_type(api: Api):
    refused, status = ("osteo_refusals_total", "unsupported-image"), (REQUESTS, "POST", "/v1/jobs", "415")
    before = counted(api, refused), counted(api, status)
    assert api.submit(b"no picture").status == 415
    assert (counted(api, refused), counted(api, status)) == (before[0] + 1, before[1] + 1)


def test_counts_outlast_a_process_that_dies_and_end_with_the_api(servers, tmp_path: Path):
    with serving(servers, tmp_path, processes=2) as (api, process):
        await_that(lambda: all(folders_of_metrics(process)))
        live(api, 20)
        before, first = counted(api, LIVE), min(children(process))
        folder = Path(min(folders_of_metrics(process)[0]))
        os.kill(first, signal.SIGKILL)
        await_that(lambda: first not in children(process))
        live(api, 20)
        await_that(lambda: folders_of_metrics(process) == [{str(folder)}] * 2)
        assert counted(api, LIVE) == before + 20
    assert not folder.exists()


@pytest.mark.skipif(not MAY_UNSHARE, reason="this user may make no namespaces")
def test_requests_are_counted_where_the_root_is_read_only(servers, tmp_path: Path):
    within = ("unshare", "-rm", "sh", "-c", READ_ONLY, "sh")
    with serving(servers, tmp_path, within=within, processes=2) as (api, _):
        before = counted(api, LIVE)
        live(api, 20)
        assert counted(api, LIVE) == before + 20
