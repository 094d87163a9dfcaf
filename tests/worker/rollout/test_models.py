"""Models are swapped while jobs run, and a bundle that cannot be loaded changes nothing."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from jobs.models.bundles import Bundles
from jobs.models.roll_out import RollOuts
from jobs.record.job import Job
from jobs.record.states import State
from model.classifier import Classifier
from model.errors import BundleRefused
from model.prediction import Prediction
from tests.conftest import a_job
from tests.worker.inference.test_analyse import accepted, analysis  # noqa: F401 - a fixture
from worker.inference.analyse import analyse
from worker.inference.watchdog import Watchdog
from worker.rollout.attempts import Attempts
from worker.rollout.loader import Loader
from worker.rollout.metrics import REGISTRY
from worker.rollout.models import Models

OWN, A, B = "0" * 64, "a" * 64, "b" * 64


@dataclass
class Named:
    """A classifier that says its own name."""

    digest: str
    go_on: Event = field(default_factory=Event)
    began: Event = field(default_factory=Event)
    version: str = "1"
    engine: str = "none"
    rests_on_enough: bool = True

    def __post_init__(self) -> None:
        self.name, self.sha256 = self.digest[:1], self.digest
        self.served = {"name": self.name}
        self.go_on.set()

    def refuse_unless_gray(self, radiograph) -> None: ...

    def prepare(self, radiograph) -> int:
        return 1

    def run(self, inputs) -> list[None]:
        self.began.set()
        assert self.go_on.wait(180)
        return [None for _ in inputs]

    def explain(self, radiograph, answer) -> Prediction:
        return Prediction("no_fracture", 0.1, (), np.zeros((8, 8), np.float32), (0, 0, 1, 1), self.name)


@dataclass
class Shelf:
    """Loads what lies on it, and breaks otherwise."""

    classifiers: dict[str, Named]
    loaded: list[str] = field(default_factory=list)
    go_on: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.go_on.set()

    def load(self, digest: str) -> Named:
        self.loaded.append(digest)
        assert self.go_on.wait(180)
        if digest not in self.classifiers:
            raise BundleRefused("it is broken")
        return self.classifiers[digest]

    def keep_only(self, digests) -> None: ...


@pytest.fixture
def shelf() -> Shelf:
    return Shelf({digest: Named(digest) for digest in (OWN, A, B)})


@pytest.fixture
def roll_outs(ledger) -> RollOuts:
    return RollOuts(ledger.records)


@pytest.fixture
def published() -> list[dict]:
    return []


@pytest.fixture
def models(ledger, shelf, roll_outs, published) -> Models:
    attempts = Attempts(shelf, ledger.view.model_loads, "inference:a:1:b")
    own = shelf.classifiers[OWN]
    return Models(own, attempts, roll_outs, 8, ledger.view.shadow_queue, published.append)


@pytest.fixture
def watching(models) -> Iterator[None]:
    """The thread that loads what jobs ask for, and looks by itself only once an hour."""
    stop = Event()
    thread = Thread(target=models.watch_until, args=(stop, 3600))
    thread.start()
    yield
    stop.set()
    models._wanted.set()
    thread.join()


def used(models: Models, job: Job | None = None) -> str:
    with models.of(job or a_job()) as model:
        model.predict(None)
        return model.digest


def test_a_promoted_bundle_answers_without_a_restart_and_rolls_back(models, roll_outs, published):
    assert used(models) == OWN
    roll_outs.change(lambda now: now.promoted(A))
    models.follow()
    assert used(models) == A
    assert published == [{"name": "a"}]
    labels = {"name": "a", "version": "1", "sha256": A, "bundle": A, "role": "active"}
    assert REGISTRY.get_sample_value("osteo_model_info", labels) == 1
    roll_outs.change(lambda now: now.rolled_back())
    models.follow()
    assert used(models) == OWN


def test_a_job_that_has_begun_with_a_model_ends_with_it(models, roll_outs, shelf):
    own = shelf.classifiers[OWN]
    own.go_on.clear()
    ended: list[str] = []
    running = Thread(target=lambda: ended.append(used(models)))
    running.start()
    assert own.began.wait(180)
    roll_outs.change(lambda now: now.promoted(A))
    models.follow()
    assert used(models) == A, "the next job does not wait for the one before"
    own.go_on.set()
    running.join(30)
    assert ended == [OWN]


def test_the_batcher_of_a_retired_model_ends_with_its_last_job(models, roll_outs):
    with models.of(a_job()) as old:
        roll_outs.change(lambda now: now.promoted(A))
        models.follow()
        old.predict(None)
        thread = old._batcher._thread
        assert thread.is_alive()
    thread.join(30)
    assert not thread.is_alive()


def test_a_bundle_that_cannot_be_loaded_keeps_the_old_one_and_says_so(
    models, roll_outs, shelf, ledger, caplog
):
    del shelf.classifiers[A]
    roll_outs.change(lambda now: now.promoted(A).with_canary(B, 10))
    models.follow()
    assert used(models) == OWN
    assert used(models, a_job(model=B)) == B, "the canary is not the one that broke"
    assert f"the active model {A} cannot be loaded, the others stay: it is broken" in caplog.text
    assert ledger.view.model_loads.refused() == {"active": 1, "canary": 0, "shadow": 0}
    models.follow()
    assert shelf.loaded == [A, B], "not again at once"
    roll_outs.change(lambda now: now.rolled_back().rolled_back())
    models.follow()
    assert ledger.view.model_loads.refused() == {"active": 0, "canary": 0, "shadow": 0}


@pytest.mark.usefixtures("watching")
def test_an_assigned_model_that_the_worker_lacks_is_loaded_first(models, roll_outs, shelf):
    roll_outs.change(lambda now: now.with_canary(A, 10))
    assert used(models, a_job(model=A)) == A
    assert used(models, a_job(model=A)) == A
    assert shelf.loaded == [A]
    assert used(models) == OWN


@pytest.mark.usefixtures("watching")
def test_no_job_waits_for_a_load_that_hangs(models, roll_outs, shelf, ledger, analysis, monkeypatch):  # noqa: F811
    monkeypatch.setattr("worker.rollout.models.PATIENCE", 0.1)
    roll_outs.change(lambda now: now.with_canary(A, 10))
    shelf.go_on.clear()
    job = accepted(ledger, model=A)
    analyse(job.id, replace(analysis, model_of=models.of))
    assert shelf.loaded == [A], "its load has begun"
    model = ledger.read(job.id).result["model"]
    assert (model["bundle"], model["instead_of"]) == (OWN, A)
    shelf.go_on.set()
    monkeypatch.setattr("worker.rollout.models.PATIENCE", 30)
    assert used(models, a_job(model=A)) == A


@pytest.mark.usefixtures("watching")
def test_a_job_keeps_its_canary_over_a_lost_attempt(models, roll_outs, ledger, analysis):  # noqa: F811
    roll_outs.change(lambda now: now.with_canary(A, 10))
    job = accepted(ledger, model=A)
    ledger.append(ledger.append(job.started("gone", job.queued_at)).handed_back(job.queued_at))
    analyse(job.id, replace(analysis, model_of=models.of))
    assert ledger.read(job.id).result["model"]["bundle"] == A
    assert "instead_of" not in ledger.read(job.id).result["model"]


@pytest.mark.usefixtures("watching")
def test_a_job_of_a_withdrawn_canary_ends_at_the_active_one(models, ledger, analysis):  # noqa: F811
    job = accepted(ledger, model=A)
    analyse(job.id, replace(analysis, model_of=models.of))
    done = ledger.read(job.id)
    assert done.state is State.SUCCEEDED
    assert done.result["model"]["bundle"] == OWN
    assert done.result["model"]["instead_of"] == A


@pytest.mark.usefixtures("watching")
def test_models_stay_while_the_roll_out_cannot_be_read(models, roll_outs, ledger, monkeypatch):
    ledger.objects.put("models/active.000000000001", b"{")
    models.follow()
    assert used(models) == OWN
    assert used(models, a_job(model=A)) == OWN


def test_a_copy_goes_to_the_shadow_only_with_a_result_and_in_its_share(models, roll_outs, ledger):
    queue = ledger.view.shadow_queue
    job = replace(a_job(), result={})
    done = replace(job, result={"finding": "fracture"})
    models.copy_to_shadow(done)
    roll_outs.change(lambda now: now.with_shadow(A, 100))
    models.follow()
    models.copy_to_shadow(replace(job, result=None))
    assert queue.waiting() == 0
    models.copy_to_shadow(done)
    assert (queue.waiting(), queue.take()) == (1, done.id)


def test_redis_that_is_away_fails_no_copy(models, roll_outs, redis):
    roll_outs.change(lambda now: now.with_shadow(A, 100))
    models.follow()
    redis.config_set("maxmemory", 1)
    try:
        models.copy_to_shadow(replace(a_job(), result={"finding": "fracture"}))
    finally:
        redis.config_set("maxmemory", 0)


def a_bundle(folder: Path, body: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "weights").write_bytes(body)
    files = {"weights": hashlib.sha256(body).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps({"files": files}))
    return folder


def test_a_loader_fetches_again_what_was_altered_on_its_disk(ledger, settings, tmp_path, monkeypatch):
    digest = Bundles(ledger.objects).publish(a_bundle(tmp_path / "bundle"))
    settings = replace(settings, bundle_cache=tmp_path / "cache")
    loader = Loader(Bundles(ledger.objects), settings, lambda _: None, Watchdog(60))

    def load(folder: Path, *_: object) -> Named:
        if (folder / "weights").read_bytes() != b"weights":
            raise BundleRefused("altered")
        return Named(digest)

    monkeypatch.setattr(Classifier, "load", load)
    assert loader.load(digest).digest == digest
    (tmp_path / "cache" / digest / "weights").write_bytes(b"evil")
    with pytest.raises(BundleRefused):
        loader.load(digest)
    assert loader.load(digest).digest == digest
    loader.keep_only({None})
    assert not list((tmp_path / "cache").iterdir())


def test_an_own_bundle_that_was_replaced_is_refused_at_a_roll_back(
    ledger, roll_outs, settings, tmp_path, monkeypatch
):
    published = Bundles(ledger.objects).publish(a_bundle(tmp_path / "published"))
    own = tmp_path / "own"
    holds = {own: OWN}
    monkeypatch.setattr(Classifier, "load", lambda folder, *_: Named(holds.get(folder, published)))
    loader = Loader(Bundles(ledger.objects), settings, lambda _: None, Watchdog(60))
    attempts = Attempts(loader, ledger.view.model_loads, "inference:a:1:b")
    models = Models(loader.load_own(own), attempts, roll_outs, 8, ledger.view.shadow_queue, lambda _: None)
    roll_outs.change(lambda now: now.promoted(published))
    models.follow()
    holds[own] = B
    roll_outs.change(lambda now: now.rolled_back())
    for _ in range(2):
        models.follow()
        answered: list[str] = []
        job = Thread(target=lambda into: into.append(used(models)), args=(answered,), daemon=True)
        job.start()
        job.join(10)
        assert answered == [published]
    (refusal,) = ledger.view.model_loads.refusals()
    assert (refusal.bundle, "holds another bundle now" in refusal.why) == (OWN, True)


@pytest.mark.parametrize("enough", [True, False])
def test_a_model_that_rests_on_too_few_x_rays_is_warned_of(
    enough: bool, ledger, settings, tmp_path, monkeypatch, caplog
):
    loader = Loader(Bundles(ledger.objects), settings, lambda _: None, Watchdog(60))
    monkeypatch.setattr(Classifier, "load", lambda *_: Named(A, rests_on_enough=enough))
    assert loader.load_own(tmp_path).digest == A
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == (not enough)
    assert all("model a 1 rest on too few X-rays" in message for message in warned)


def test_a_loader_removes_only_its_own_from_a_folder_that_others_use(ledger, settings, tmp_path):
    loader = Loader(
        Bundles(ledger.objects), replace(settings, bundle_cache=tmp_path), lambda _: None, Watchdog(60)
    )
    for name in ("engine", "engine.bin", "a" * 63, ".hidden", A, B, f".{A[:16]}-killed", f".{B[:16]}-new"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / f".{A[:16]}-killed", (0, 0))
    loader.keep_only({A, None})
    left = {folder.name for folder in tmp_path.iterdir()}
    assert left == {"engine", "engine.bin", "a" * 63, ".hidden", A, f".{B[:16]}-new"}


def test_no_model_is_published_but_the_one_that_the_roll_out_names(models, roll_outs, shelf, published):
    del shelf.classifiers[A]
    roll_outs.change(lambda now: now.promoted(A))
    models.follow()
    assert (used(models), published) == (OWN, [])
    roll_outs.change(lambda now: now.rolled_back())
    models.follow()
    models.follow()
    assert published == [shelf.classifiers[OWN].served], "once"


def test_redis_that_is_away_hides_no_change_of_models(models, roll_outs, shelf, redis, caplog):
    del shelf.classifiers[B]
    roll_outs.change(lambda now: now.promoted(A).with_canary(B, 10))
    redis.config_set("maxmemory", 1)
    try:
        models.follow()
    finally:
        redis.config_set("maxmemory", 0)
    assert used(models) == A
    assert "cannot be followed" not in caplog.text
