"""A bundle that kills or hangs its process at load is tried elsewhere, given up, and reported."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from jobs.models.bundles import Bundles
from jobs.record.errors import QueueAway
from jobs.redis.model_loads import Refusal
from model.bundle import Bundle
from stack.part import ROOT
from tests.model.conftest import bundle  # noqa: F401 - a fixture
from worker.inference.watchdog import Watchdog
from worker.rollout.attempts import Attempts
from worker.rollout.loader import Loader
from worker.rollout.trial import LoadStopped, Trial

A = "a" * 64
ME = f"inference:here:{os.getpid()}:b"
AT_WEIGHTS = """
import os, sys, threading

def at_weights(event, given):
    if event == "open" and str(given[0]).endswith("weights.npz"):
        {act}

sys.addaudithook(at_weights)
"""
KILLS, HANGS = "os.kill(os.getpid(), 9)", "threading.Event().wait()"


@pytest.fixture
def evil(tmp_path, monkeypatch) -> Callable[[str], None]:
    """Has every new process do something as soon as it opens the weights of a bundle."""

    def prepare(act: str) -> None:
        (tmp_path / "evil").mkdir()
        (tmp_path / "evil" / "sitecustomize.py").write_text(AT_WEIGHTS.format(act=act))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "evil"))

    return prepare


@pytest.fixture
def tried(ledger, settings, tmp_path) -> Callable[..., Attempts]:
    def make(seconds: float = 60, stopping: Event | None = None) -> Attempts:
        trial = Trial("onnxruntime", None, seconds, stopping or Event())
        settings_here = replace(settings, bundle_cache=tmp_path / "cache", engine="onnxruntime")
        loader = Loader(Bundles(ledger.objects), settings_here, trial, Watchdog(60))
        return Attempts(loader, ledger.view.model_loads, ME)

    return make


@pytest.mark.parametrize(
    ("act", "seconds", "why"),
    [
        (KILLS, 60, "it has ended the process of its trial: SIGKILL"),
        (HANGS, 2, "it was not loaded within 2 s"),
    ],
)
def test_a_load_that_kills_or_hangs_is_given_up_and_harms_no_worker(
    act,
    seconds,
    why,
    evil,
    tried,
    bundle: Bundle,  # noqa: F811
    ledger,
    caplog,
):
    digest = Bundles(ledger.objects).publish(bundle.folder)
    evil(act)
    attempts = tried(seconds)
    assert attempts.load("canary", digest) is None
    assert f"the canary model {digest} cannot be loaded, the others stay: {why}" in caplog.text
    caplog.clear()
    assert attempts.load("active", digest) is None
    assert not caplog.text, "it is not tried again"
    attempts.follow({digest}, {digest})
    assert ledger.view.model_loads.refusals() == [Refusal("active", digest, ME, why)]
    attempts.follow({A}, {A})
    assert ledger.view.model_loads.refusals() == []
    assert not attempts.refused(digest), "the operator has ended it, and may name it anew"
    assert ledger.view.model_loads.begun(digest) == set()


def test_a_good_bundle_is_tried_once_and_loaded(tried, bundle: Bundle, ledger):  # noqa: F811
    digest = Bundles(ledger.objects).publish(bundle.folder)
    attempts = tried()
    loaded = attempts.load("canary", digest)
    assert loaded
    assert loaded.digest == digest
    trials: list[Path] = []
    attempts._loader._try = trials.append
    assert attempts.load("active", digest)
    assert trials == [], "a roll-back waits for no second trial"


def test_a_bundle_that_is_refused_says_why_from_its_trial(tried, bundle: Bundle, ledger):  # noqa: F811
    digest = Bundles(ledger.objects).publish(bundle.folder)
    attempts = tried()
    attempts._loader._bundles.fetch(digest, attempts._loader._folder)
    (attempts._loader._folder / digest / "weights.npz").write_bytes(b"evil")
    assert attempts.load("active", digest) is None
    attempts.follow({digest}, {digest})
    (refusal,) = ledger.view.model_loads.refusals()
    assert refusal.why.endswith("weights.npz does not match its checksum; fetch the bundle again")


def test_a_trial_is_given_none_of_the_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("REDIS_URL", "redis://:hush@host")
    monkeypatch.setenv("OSTEO_SIGNING_KEY", "hush")
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nenv | grep hush || exit 0\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    Trial(None, None, 60, Event())(tmp_path)


def test_a_worker_that_is_to_end_gives_its_trial_up(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    stopping = Event()
    stopping.set()
    with pytest.raises(LoadStopped):
        Trial(None, None, 600, stopping)(tmp_path)


WORKER = """
import logging, os, signal, sys
from dataclasses import replace
from threading import Event
from jobs.redis.view import View
from jobs.settings import Settings
from model.classifier import Classifier
from worker.inference.watchdog import Watchdog
from worker.rollout.attempts import Attempts
from worker.rollout.loader import Loader
from worker.rollout.trial import LoadBroken

def try_(folder):
    {trial}

def load(*_):
    {load}

class Bundles:
    def fetch(self, digest, into):
        return into

logging.basicConfig()
Classifier.load = load
watchdog = Watchdog(60)
watchdog.start()
loader = Loader(Bundles(), replace(Settings(""), model_load_seconds=1), try_, watchdog)
loads = View.connect(sys.argv[1], 60).model_loads
attempts = Attempts(loader, loads, f"inference:here:{{os.getpid()}}:b")
attempts.load("active", "a" * 64)
attempts.follow({{"a" * 64}}, set())
watchdog.stop()
"""


def run(redis_url: str, trial: str = "pass", load: str = "pass") -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-c", WORKER.format(trial=trial, load=load), redis_url)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("load", "status"),
    [("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL), ("Event().wait()", 1)],
    ids=["kills", "hangs"],
)
def test_a_worker_that_died_at_a_load_leaves_the_bundle_out_once_back(load, status, settings, ledger):
    assert run(settings.redis_url, load=load).returncode == status
    again = run(settings.redis_url, load=load)
    assert again.returncode == 0, again.stderr
    assert "a load of it has ended the worker inference:here:" in again.stderr
    (refusal,) = ledger.view.model_loads.refusals()
    assert (refusal.part, refusal.bundle) == ("active", A)


def test_a_trial_as_long_as_a_load_may_take_does_not_end_the_worker(settings, ledger):
    done = run(settings.redis_url, trial='Event().wait(4); raise LoadBroken("it took too long")')
    assert done.returncode == 0, done.stderr
    (refusal,) = ledger.view.model_loads.refusals()
    assert refusal.why == "it took too long"


def test_a_load_that_another_process_has_begun_is_no_reason_to_refuse(ledger):
    loads = ledger.view.model_loads
    attempts = Attempts(Loads(), loads, ME)
    loads.begin(f"inference:here:{os.getppid()}:b", A)
    loads.begin("inference:elsewhere:1:b", A)
    assert attempts.load("active", A)
    loads.begin(f"inference:here:{os.getpid()}:before", A)
    assert attempts.load("active", A) is None, "the worker before, in this container"
    attempts.follow(set(), set())
    assert attempts.load("active", A), "once the roll-out names it anew"


def test_a_worker_that_ends_in_order_during_a_load_does_not_accuse_it(ledger):
    loader, loads = Loads(), ledger.view.model_loads
    loader.go_on.clear()
    attempts = Attempts(loader, loads, ME)
    thread = Thread(target=attempts.load, args=("active", A))
    thread.start()
    assert loader.began.wait(180)
    assert loads.begun(A) == {ME}
    attempts.end_loads()
    assert loads.begun(A) == set()
    loader.go_on.set()
    thread.join()


def test_the_end_of_a_load_is_recorded_once_redis_answers_again(ledger, monkeypatch):
    loads = ledger.view.model_loads
    attempts, end = Attempts(Loads(), loads, ME), loads.end
    monkeypatch.setattr(loads, "end", redis_is_away)
    assert attempts.load("active", A)
    attempts.follow({A}, {A})
    assert loads.begun(A) == {ME}
    monkeypatch.setattr(loads, "end", end)
    attempts.follow({A}, {A})
    assert loads.begun(A) == set()


def redis_is_away(*_: object) -> None:
    """Answer as Redis does while it is away."""
    raise QueueAway("for the test")


class Loads:
    """Loads anything, once it may go on."""

    def __init__(self) -> None:
        self.began, self.go_on = Event(), Event()
        self.go_on.set()

    def load(self, digest: str) -> str:
        self.began.set()
        assert self.go_on.wait(180)
        return digest

    def keep_only(self, digests) -> None: ...
