"""A shadow scores copies by a real model, harms no job, and catches a bundle whose labels are flipped."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from jobs.lifecycle.deletion import delete, erase_deleted
from jobs.models.bundles import Bundles
from jobs.models.roll_out import RollOuts
from jobs.models.shadow_scores import ShadowScores
from jobs.record.states import State
from model.bundle import MANIFEST, Bundle, Calibration, Thresholds
from model.classifier import Classifier
from model.synthetic import draw_forearm
from tests import pictures
from tests.conftest import only_a_tombstone_is_left, run_command
from tests.model.conftest import DESCRIPTION, bundle, untrained, write  # noqa: F401 - a fixture
from tests.worker.inference.test_analyse import accepted, analysis, decoded  # noqa: F401 - a fixture
from worker.inference.analyse import AnalysisContext, analyse
from worker.inference.watchdog import Watchdog
from worker.rollout.attempts import Attempts
from worker.rollout.loader import Loader
from worker.rollout.models import Models
from worker.rollout.shadow import Shadow

FOREARM = pictures.encoded(draw_forearm(1, size=(180, 135)).pixels)
JOBS = 100
"""As few as OSTEO_SHADOW_JOBS may ask for."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[str, Bundle]:
    """One network: as it is, with another version, and with its labels flipped."""
    folder, network = tmp_path_factory.mktemp("bundles"), untrained()
    sure = replace(
        DESCRIPTION,
        calibration=Calibration(temperature=1.0, bias=-6.0),
        thresholds=Thresholds(low=0.2, high=0.8, region=0.02),
    )
    flipped = replace(sure, version="2.0.0", calibration=Calibration(temperature=-1.0, bias=6.0))
    described = {"own": sure, "good": replace(sure, version="1.1.0"), "flipped": flipped}
    return {name: write(folder / name, one, network) for name, one in described.items()}


@pytest.fixture
def roll_outs(ledger) -> RollOuts:
    return RollOuts(ledger.records)


class Published(dict[str, str]):
    """The digest of each bundle, which is published when it is first asked for."""

    def __init__(self, published: Bundles, bundles: dict[str, Bundle]) -> None:
        super().__init__()
        self._published, self._bundles = published, bundles

    def __missing__(self, name: str) -> str:
        self[name] = self._published.publish(self._bundles[name].folder)
        return self[name]


@pytest.fixture
def published(ledger, bundles) -> Published:
    return Published(Bundles(ledger.objects), bundles)


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """Start an engine once for each bundle: it takes seconds, and holds nothing of the jobs before."""
    loaded: dict[bytes, Classifier] = {}

    def load(folder: Path, *rest: object) -> Classifier:
        manifest = (folder / MANIFEST).read_bytes()
        if manifest not in loaded:
            loaded[manifest] = Classifier.load(folder, *rest)
        return loaded[manifest]

    with patch("worker.rollout.loader.Classifier", SimpleNamespace(load=load)):
        yield


@pytest.fixture
def loader(ledger, settings, tmp_path) -> Loader:
    settings = replace(settings, bundle_cache=tmp_path, engine="onnxruntime")
    return Loader(Bundles(ledger.objects), settings, lambda _: None, Watchdog(60))


@pytest.fixture
def attempts(ledger, loader) -> Attempts:
    return Attempts(loader, ledger.view.model_loads, "inference:a:1:b")


@pytest.fixture
def serving(ledger, bundles, loader, attempts, roll_outs, analysis) -> tuple[AnalysisContext, Models]:  # noqa: F811
    own = loader.load_own(bundles["own"].folder)
    models = Models(own, attempts, roll_outs, 8, ledger.view.shadow_queue, lambda _: None)
    return replace(analysis, model_of=models.of, copy=models.copy_to_shadow), models


@pytest.fixture
def shadow(ledger, attempts, roll_outs) -> Shadow:
    return Shadow(ledger, roll_outs, attempts, decoded, Watchdog(60))


def all_scored(shadow: Shadow) -> None:
    assert shadow.follow()
    while shadow.score_next():
        pass


def counts(ledger) -> dict[str, int]:
    return {name: n for name, n in ledger.view.counts().items() if name.startswith("shadow:")}


def test_flipped_labels_are_caught_in_shadow_and_are_not_promoted(
    serving, shadow, published, ledger, roll_outs, settings
):
    context, models = serving
    settings = replace(settings, shadow_jobs=JOBS)
    roll_outs.change(lambda now: now.promoted(published["own"]).with_shadow(published["flipped"], 100))
    models.follow()
    jobs = [accepted(ledger, image=FOREARM) for _ in range(JOBS)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job: analyse(job.id, context), jobs))
    all_scored(shadow)
    done = run_command(settings, "admin.models", "promote", published["flipped"][:12])
    assert done.returncode == 1
    assert "all jobs: 100 of 100 findings differ from those served, and 10% may" in done.stderr
    assert "format PNG: 100 of 100" in done.stderr
    assert "jobs were scored" not in done.stderr, "enough were"
    assert roll_outs.read().active == published["own"]
    assert counts(ledger) == {"shadow:finding": JOBS}
    results = [ledger.read(job.id) for job in jobs]
    assert {job.state for job in results} == {State.SUCCEEDED}
    assert {job.result["model"]["bundle"] for job in results} == {published["own"]}

    # A bundle that agrees on copies of the same jobs is promoted.
    roll_outs.change(lambda now: now.with_shadow(published["good"], 100))
    models.follow()
    for job in results:
        models.copy_to_shadow(job)
    all_scored(shadow)
    done = run_command(settings, "admin.models", "promote", published["good"][:12])
    assert done.returncode == 0, done.stderr
    assert roll_outs.read().active == published["good"]
    assert run_command(settings, "admin.models", "roll-back").returncode == 0
    assert roll_outs.read().active == published["own"]


def test_a_score_has_no_patient_data_and_is_erased_with_its_job(
    serving, shadow, published, ledger, roll_outs
):
    context, models = serving
    roll_outs.change(lambda now: now.with_shadow(published["flipped"], 100))
    models.follow()
    acquisition = {"body_part": {"term": "WRIST", "snomed": "1", "meaning": "wrist"}}
    job = accepted(
        ledger,
        image=FOREARM,
        reference="Ada Bone",
        metadata={"patient": "Ada"},
        acquisition=acquisition,
    )
    analyse(job.id, context)
    all_scored(shadow)
    key = f"jobs/{job.id}/shadow/{published['flipped']}"
    (score,) = ShadowScores(ledger).of(published["flipped"])
    assert (score.served_finding, score.finding, score.body_part) == ("no_fracture", "fracture", "WRIST")
    assert score.served_bundle == published["own"]
    assert b"Ada" not in ledger.objects.get(key)
    assert ledger.read(job.id).result["finding"] == "no_fracture", "no client sees what it found"
    delete(job.id, ledger)
    assert not ledger.objects.exists(key)
    assert only_a_tombstone_is_left(job.id, ledger)
    assert not ShadowScores(ledger).put(score), "a slow shadow brings nothing back"


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_score_outlives_no_deletion_at_any_moment_of_its_writing(
    writes, serving, shadow, published, ledger, roll_outs, monkeypatch
):
    context, models = serving
    roll_outs.change(lambda now: now.with_shadow(published["good"], 100))
    models.follow()
    job = accepted(ledger, image=FOREARM)
    analyse(job.id, context)
    put, begun = ledger.objects.put, []

    def put_beside_a_deletion(key: str, *rest: object) -> None:
        if "shadow/" not in key:
            return put(key, *rest)
        if len(begun) == writes:
            delete(job.id, ledger)
        begun.append(key)
        put(key, *rest)
        if len(begun) == writes == 2:
            delete(job.id, ledger)

    monkeypatch.setattr(ledger.objects, "put", put_beside_a_deletion)
    all_scored(shadow)
    assert len(begun) == 2
    erase_deleted(ledger.read(job.id), ledger)  # The purger does so after LEFTOVER_GRACE.
    assert only_a_tombstone_is_left(job.id, ledger)


def test_a_shadow_that_breaks_takes_the_next_job_and_is_counted(
    serving, shadow, published, ledger, roll_outs, monkeypatch
):
    context, models = serving
    roll_outs.change(lambda now: now.with_shadow(published["good"], 100))
    models.follow()
    jobs = [accepted(ledger, image=FOREARM) for _ in range(3)]
    for job in jobs:
        analyse(job.id, context)
    delete(jobs[1].id, ledger)
    assert shadow.follow()

    def breaks(*_: object) -> None:
        raise MemoryError("the bundle is evil")

    monkeypatch.setattr(shadow.classifier, "predict", breaks)
    assert [shadow.score_next() for _ in range(4)] == [True, True, True, False]
    assert counts(ledger) == {"shadow:broken": 2}
    assert [score.finding for score in ShadowScores(ledger).of(published["good"])] == ["broken"] * 2
    assert ledger.read(jobs[0].id).state is State.SUCCEEDED


def test_a_job_of_the_canary_is_not_scored_by_the_same_bundle(serving, shadow, published, ledger, roll_outs):
    context, models = serving
    roll_outs.change(lambda now: now.with_shadow(published["good"], 100).with_canary(published["good"], 10))
    models.follow()
    job = accepted(ledger, image=FOREARM, model=published["good"])
    analyse(job.id, context)
    assert ledger.read(job.id).result["model"]["bundle"] == published["good"]
    all_scored(shadow)
    assert ShadowScores(ledger).of(published["good"]) == []


def test_a_shadow_that_cannot_be_loaded_is_reported(shadow, published, ledger, roll_outs, caplog, tmp_path):
    ledger.objects.put(f"models/bundles/{published['good']}/weights.npz", b"evil")
    roll_outs.change(lambda now: now.with_shadow(published["good"], 100))
    assert not shadow.follow()
    assert "weights.npz does not match its checksum" in caplog.text
    assert ledger.view.model_loads.refused()["shadow"] == 1
    left = tmp_path / published["flipped"]
    left.mkdir()
    roll_outs.change(lambda now: now.with_shadow(published["good"], 0))
    assert not shadow.follow()
    assert not left.exists(), "what was the shadow before takes no room"
    assert ledger.view.model_loads.refused()["shadow"] == 0


def test_a_shadow_ends_when_it_is_told_to(shadow):
    stop = Event()
    stop.set()
    shadow.work_until(stop)


def test_a_network_that_gives_no_scores_does_not_pass_its_test(bundles, tmp_path: Path, monkeypatch):
    from model import classifier
    from model.errors import BundleRefused

    started = classifier.start

    def nothing(*given: object) -> object:
        engine = started(*given)
        run = engine.run
        engine.run = lambda inputs: run(inputs)._replace(scores=float("nan") * run(inputs).scores)
        return engine

    monkeypatch.setattr(classifier, "start", nothing)
    with pytest.raises(BundleRefused, match="no scores for a test picture"):
        Classifier.load(bundles["own"].folder, "onnxruntime")
