"""Debian's Prometheus and Alertmanager beside a running stack: what they read, and an alert that arrives."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, cycle
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from stack.addresses import HOST, free_ports
from stack.monitor import configure, watched_by, watchers
from stack.parent import end_with_parent
from stack.part import ROOT
from stack.receiver import Receiver
from tests.conftest import await_that
from tests.integration.conftest import Stack, processes_of
from tests.monitoring import FOLDER, expressions, metrics_in, rules

pytestmark = pytest.mark.skipif(
    None in (shutil.which("prometheus"), shutil.which("prometheus-alertmanager")),
    reason="there are no prometheus and prometheus-alertmanager: apt-get install them",
)

FAST = (
    (r"(scrape_interval|evaluation_interval|group_wait|group_interval): \w+", r"\1: 1s"),
    (r"\bfor: \w+", "for: 1s"),
    (r"\binterval: \w+", "interval: 1s"),
)
"""What differs in the configuration that is tried here. docs/operate.md tells of it."""
PANELS = [
    expression
    for path in sorted((FOLDER / "dashboards").iterdir())
    for expression in expressions(json.loads(path.read_text()))
]
WATCHED = ("inference", "delivery", "sweeper")
"""The roles of workers of which there are rules; the stack's shadow is none of them."""
RULES = [rule["expr"] for rule in rules()]


class Pager:
    """A receiver of what Alertmanager sends: the path and the document of each message."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                pager.messages.append((self.path, json.loads(body)))
                self.send_response_only(204)
                self.end_headers()

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_port}"

    def alerts(self, name: str, status: str) -> list[tuple[str, dict[str, Any]]]:
        """The path and the content of each alert of this name that arrived with this status."""
        return [
            (path, alert)
            for path, message in list(self.messages)
            for alert in message["alerts"]
            if (alert["labels"]["alertname"], alert["status"]) == (name, status)
        ]


@dataclass
class Watch:
    """Prometheus and Alertmanager beside a stack, with the intervals of FAST."""

    prometheus: str
    pager: Pager

    def series(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers to an expression. An expression that it does not understand fails."""
        answer = urllib3.request("GET", f"{self.prometheus}/api/v1/query", fields={"query": expression})
        assert answer.status == 200, answer.data
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


@pytest.fixture(scope="module", autouse=True)
def delivered(stack: Stack) -> None:
    """One job has been analysed and delivered."""
    with Receiver(stack.webhook_secret) as receiver:
        job = stack.settled(stack.submit(callback_url=receiver.url)["id"])
    assert (job["state"], job["delivery"]) == ("succeeded", "delivered")


@pytest.fixture(scope="module")
def load(stack: Stack) -> Iterator[None]:
    """Jobs of both priorities with callbacks, and a request that is refused, again and again.

    A pause between two, in which Prometheus asks once, leaves the processors to other tests.
    """
    stop = Event()

    def submit() -> None:
        with Receiver(stack.webhook_secret) as receiver:
            for priority in cycle(("stat", "routine")):
                if stop.wait(1):
                    return
                stack.settled(stack.submit(callback_url=receiver.url, priority=priority)["id"])
                stack.request("GET", "/v1/jobs/none")

    thread = Thread(target=submit)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture(scope="module")
def watch(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    folder, ports, pager = tmp_path_factory.mktemp("monitor"), free_ports(2), Pager()
    configure(
        folder,
        {
            **watched_by(stack.ready),
            "127.0.0.1:9093": f"{HOST}:{ports[1]}",
            "http://127.0.0.1:9095": pager.url,
        },
    )
    for file in folder.rglob("*.yml"):
        text = file.read_text()
        for pattern, value in FAST:
            text = re.sub(pattern, value, text)
        file.write_text(text)
    started = []
    for command in watchers(os.environ, folder, *ports):
        with (folder / f"{command.name}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    command.arguments,
                    env=command.environment,
                    stdout=log,
                    stderr=log,
                    preexec_fn=end_with_parent(),
                )
            )
    Thread(target=pager.server.serve_forever, daemon=True).start()
    try:
        for command, process in zip(watchers(os.environ, folder, *ports), started, strict=True):
            await_that(lambda c=command, p=process: p.poll() is not None or c.answers(p.pid))
            assert process.poll() is None, (folder / f"{command.name}.log").read_text()
        yield Watch(f"http://{HOST}:{ports[0]}", pager)
    finally:
        for process in started:
            process.terminate()
            process.wait()
        pager.server.shutdown()
        pager.server.server_close()


def test_every_metric_that_a_rule_or_panel_names_is_served(stack: Stack) -> None:
    named = set().union(*map(metrics_in, RULES + PANELS))
    assert len(named) > 10
    # Clocks are compared by the sweeper's first round.
    await_that(lambda: "osteo_clock_difference_seconds" in served_by(stack))
    assert named <= served_by(stack)


def served_by(stack: Stack) -> set[str]:
    """The names of the samples that all roles have now."""
    families = map(text_string_to_metric_families, map(stack.metrics, ("api", *stack.ready["metrics"])))
    return {sample.name for family in chain.from_iterable(families) for sample in family.samples}


@pytest.mark.parametrize("expression", PANELS)
@pytest.mark.usefixtures("load")
def test_the_expression_of_a_panel_has_a_series(watch: Watch, expression: str) -> None:
    await_that(lambda: watch.series(expression.replace("$__rate_interval", "10s")) != [])


@pytest.mark.parametrize("expression", RULES)
def test_the_expression_of_a_rule_has_a_series_before_it_is_compared(watch: Watch, expression: str) -> None:
    """A comparison with `bool` answers 0 where the alert is silent; without its figures it has no answer."""
    await_that(lambda: watch.series(re.sub(r" (==|>=|>) ", r" \1 bool ", expression)) != [])


def test_monitor_watches_the_stack_on_loopback_until_it_is_stopped(stack: Stack) -> None:
    ports = free_ports(2)
    with monitor(stack, *ports) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        base = f"http://{HOST}:{ports[0]}/api/v1"
        await_that(lambda: get(f"{base}/targets")["activeTargets"] != [])
        watched = {target["scrapeUrl"] for target in get(f"{base}/targets")["activeTargets"]}
        assert watched == {
            f"{stack.ready['api']}/metrics",
            *(f"http://{stack.ready['metrics'][role]}/metrics" for role in WATCHED),
        }
        assert sum(len(group["rules"]) for group in get(f"{base}/rules")["groups"]) == len(RULES)
        await_that(lambda: get(f"{base}/alertmanagers")["activeAlertmanagers"] != [])
        (alertmanager,) = get(f"{base}/alertmanagers")["activeAlertmanagers"]
        assert alertmanager["url"].startswith(f"http://{HOST}:{ports[1]}/")
        for page in ("alerts", "graph", "targets"):
            answer = urllib3.request("GET", f"http://{HOST}:{ports[0]}/classic/{page}", redirect=False)
            assert answer.status == 200
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port))
        process.send_signal(signal.SIGINT)
        told = process.stdout.read()
        assert process.wait(180) == 0
    assert f"http://{HOST}:{ports[0]}/classic/alerts\n" in told
    assert not processes_of(stack.folder / "monitor")
    assert {path.name for path in (stack.folder / "monitor").iterdir()} >= {"prometheus", "alertmanager"}


@contextmanager
def monitor(stack: Stack, prometheus_port: int, alertmanager_port: int) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        "OSTEO_VAR": str(stack.folder),
        "PROMETHEUS_PORT": str(prometheus_port),
        "ALERTMANAGER_PORT": str(alertmanager_port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "stack", "monitor"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=end_with_parent(),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def get(url: str) -> dict[str, Any]:
    data: dict[str, Any] = urllib3.request("GET", url).json()["data"]
    return data


def test_a_killed_worker_is_an_alert_at_the_pager_until_it_is_back(stack: Stack, watch: Watch) -> None:
    await_that(lambda: value_of(watch, 'osteo_processes{role="inference"}') == 1)
    killed = stack.ready["pids"]["worker"]
    os.kill(killed, signal.SIGKILL)
    # The stack starts another one at once. It is held, as one that does not come up.
    await_that(lambda: stack_worker(stack) not in (None, killed))
    held = stack_worker(stack)
    assert held is not None
    os.kill(held, signal.SIGSTOP)
    try:
        await_that(lambda: watch.pager.alerts("OsteoNoWorker", "firing") != [])
    finally:
        os.kill(held, signal.SIGCONT)
    path, alert = watch.pager.alerts("OsteoNoWorker", "firing")[0]
    assert path == "/page"
    assert alert["labels"]["severity"] == "page"
    assert alert["annotations"]["summary"] == "No inference worker lives. Nothing is analysed."
    assert alert["annotations"]["runbook_url"] == "docs/operate.md#osteonoworker"
    await_that(lambda: watch.pager.alerts("OsteoNoWorker", "resolved") != [])


def value_of(watch: Watch, expression: str) -> float | None:
    found = watch.series(expression)
    return float(found[0]["value"][1]) if found else None


def stack_worker(stack: Stack) -> int | None:
    """The process id of the inference worker that the stack runs now; None between two of them."""
    parent = stack.process.pid
    children = set(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))
    workers = {pid for pid, command in stack.processes().items() if "-m worker inference" in command}
    return next(iter(workers & children), None)
