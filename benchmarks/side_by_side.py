"""Measures the whole service against other ways to serve the same model, on one machine."""

import base64
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import urllib3
from celery import Celery

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import MeasuredLoad, at_rate, saturate
from benchmarks.radiographs import radiographs
from benchmarks.service import running, stores_alone
from model.bundle import Bundle
from stack.addresses import HOST, free_ports
from stack.parent import end_with_parent
from stack.part import ROOT

CLIENTS = 32
JOBS = {"keras": 32, "service": 48}
"""By engine. Of 96 BentoML answered some by 500: "Server disconnected" between its own processes."""
OWN_JOBS = 192
HALF_LOAD_JOBS = 32
START_SECONDS = 120

Ask = Callable[[bytes], object]


@dataclass(frozen=True)
class _Rival:
    """How a rival is run, on `{port}`, and how it is asked, given that port and its environment."""

    name: str
    command: tuple[str, ...]
    asked: Callable[[int, Mapping[str, str]], Ask]
    engine: str = "keras"
    """As benchmarks.rivals.network has it."""


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the figures of this group."""
    many = radiographs(OWN_JOBS)
    saturated: dict[str, MeasuredLoad] = {}
    with stores_alone() as service:
        environment = {
            **service.settings,
            "OSTEO_BUNDLE": str(bundle.folder.resolve()),
            "PYTHONPATH": str(ROOT),
            "BENTOML_DO_NOT_TRACK": "True",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        for rival in RIVALS:
            with _started(rival, environment) as ask:
                saturate(ask, many[:8], CLIENTS, f"{rival.name}, warming up")
                saturated[rival.name] = saturate(ask, many[: JOBS[rival.engine]], CLIENTS, rival.name)
        best, beside = (
            max(
                (rival for rival in RIVALS if rival.engine == engine),
                key=lambda one: saturated[one.name].rate,
            )
            for engine in ("keras", "service")
        )
        half, few = saturated[best.name].rate / 2, many[:HALF_LOAD_JOBS]
        with _started(best, environment) as ask:
            saturate(ask, many[:8], CLIENTS, f"{best.name}, warming up")
            theirs = at_rate(ask, few, half, CLIENTS, f"{best.name}, half its load")
    with running() as (_, client, _):
        saturate(client.analyse, many[:32], CLIENTS, "warming up")
        ours = saturate(client.analyse, many, CLIENTS, "ours")
        at_half = at_rate(client.analyse, few, half, CLIENTS, "ours, the same load")
    return [
        *(figure(f"side by side: {name}", seen.rate, "radiographs/s") for name, seen in saturated.items()),
        *(
            figure(
                f"side by side: ours, against {rival.name}",
                ours.rate,
                "radiographs/s",
                saturated[rival.name].rate,
                at_least=goal,
            )
            for rival, goal in ((best, 4), (beside, None))
        ),
        figure(
            f"side by side: p99 at {half:.2g} radiographs/s, ours against {best.name}",
            at_half.percentile(99),
            "s",
            theirs.percentile(99),
            at_most=1,
        ),
    ]


@contextmanager
def _started(rival: _Rival, environment: Mapping[str, str]) -> Iterator[Ask]:
    """Run a rival until the context is left; the way to ask it, once it has answered."""
    (port,) = free_ports(1)
    ask = rival.asked(port, environment)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [part.format(port=port) for part in rival.command],
            cwd=ROOT,
            env={**environment, "RIVAL_ENGINE": rival.engine},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent(),
        )
        try:
            began = time.monotonic()
            while not _answers(ask):
                if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                    log.seek(0)
                    raise RuntimeError(f"{rival.name} did not start:\n{log.read().decode(errors='replace')}")
                time.sleep(0.25)
            yield ask
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(ask: Ask) -> bool:
    try:
        ask(*radiographs(1))
    except (urllib3.exceptions.HTTPError, RuntimeError):
        return False
    return True


def _by_http(port: int, _: Mapping[str, str]) -> Ask:
    pool = urllib3.PoolManager(maxsize=CLIENTS, retries=False, timeout=300)
    headers = {"Content-Type": "application/octet-stream"}

    def ask(body: bytes) -> None:
        _checked(pool.request("POST", f"http://{HOST}:{port}/analyse", body=body, headers=headers))

    return ask


def _by_json(port: int, _: Mapping[str, str]) -> Ask:
    pool = urllib3.PoolManager(maxsize=CLIENTS, retries=False, timeout=300)

    def ask(body: bytes) -> None:
        image = {"image": base64.b64encode(body).decode()}
        _checked(pool.request("POST", f"http://{HOST}:{port}/analyse", json=image))

    return ask


def _checked(answer: urllib3.BaseHTTPResponse) -> None:
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.data[:500]!r}")


def _by_celery(_: int, environment: Mapping[str, str]) -> Ask:
    app = Celery("rival", broker=environment["REDIS_URL"], backend=environment["REDIS_URL"])

    def ask(body: bytes) -> None:
        task = app.send_task("benchmarks.rivals.celery_predict.analyse", [base64.b64encode(body).decode()])
        task.get(300)

    return ask


_RIVALS_PYTHON = str(ROOT / ".venv-rivals" / "bin" / "python")
_BENTOML = (
    *(_RIVALS_PYTHON, "-m", "bentoml", "serve", "benchmarks.rivals.bentoml_service:Radiographs"),
    *("--host", HOST, "--port", "{port}"),
)
_LITSERVE = (_RIVALS_PYTHON, "-m", "benchmarks.rivals.litserve_api", "{port}")
RIVALS = (
    _Rival(
        "Flask and model.predict",
        (
            *(sys.executable, "-m", "gunicorn", "--bind", f"{HOST}:{{port}}", "--threads", "8"),
            *("--timeout", "300", "benchmarks.rivals.flask_predict:app"),
        ),
        _by_http,
    ),
    _Rival(
        "Celery and model.predict",
        (
            *(sys.executable, "-m", "celery", "--app", "benchmarks.rivals.celery_predict", "worker"),
            *("--pool", "solo", "--loglevel", "WARNING"),
        ),
        _by_celery,
    ),
    _Rival("BentoML", _BENTOML, _by_http),
    _Rival("LitServe", _LITSERVE, _by_json),
    _Rival("BentoML with our engine", _BENTOML, _by_http, "service"),
    _Rival("LitServe with our engine", _LITSERVE, _by_json, "service"),
)
