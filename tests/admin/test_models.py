"""The commands that roll a model out and back: what they print, change, refuse and leave in the audit log."""

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from admin import models
from jobs.models.bundles import Bundles, NoSuchBundle
from jobs.models.gate import Limits
from jobs.models.removal import BundleInUse, remove_bundle
from jobs.models.roll_out import RollOut, RollOuts
from jobs.models.shadow_scores import ShadowScores, score_of
from jobs.record.job import now
from jobs.redis.model_loads import Refusal
from jobs.store.audit import Audit
from jobs.store.stores import Stores
from model.bundle import Bundle
from tests.conftest import a_job, run_command
from tests.model.conftest import bundle, copied  # noqa: F401 - fixtures

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def command(settings, ledger):

    def run(*arguments: str) -> tuple[int, list[dict], str]:
        done = run_command(settings, "admin.models", *arguments)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return run


def test_a_bundle_is_published_listed_tried_and_withdrawn(command, bundle: Bundle, ledger, redis):  # noqa: F811
    code, (published,), _ = command("publish", str(bundle.folder))
    assert (code, published) == (0, {"bundle": bundle.digest, "name": "untrained", "version": "0.0.0"})
    assert command("shadow", bundle.digest[:8], "--percent", "100")[1][0]["shadow"] == bundle.digest
    assert command("canary", bundle.digest, "--percent", "2.5")[1][0]["canary_percent"] == 2.5
    _, (listed, _), _ = command("list")
    assert listed["parts"] == ["canary", "shadow"]
    assert command("shadow", bundle.digest, "--percent", "0")[1][0]["shadow"] is None
    assert command("roll-back")[0] == 0
    assert RollOuts(ledger.records).read().canary is None
    assert command("roll-back")[0] == 0, "of nothing, which is no act"
    acts = list(Audit(ledger.objects, redis).entries(now() - timedelta(hours=1)))
    assert sorted((act["action"], act["subject"] and act["subject"][:8]) for act in acts) == [
        ("endShadowModel", bundle.digest[:8]),
        ("publishModel", bundle.digest[:8]),
        ("rollBackModel", None),
        ("setCanaryModel", bundle.digest[:8]),
        ("setShadowModel", bundle.digest[:8]),
    ]


def test_the_gate_says_each_reason_and_changes_nothing(command, bundle: Bundle, ledger):  # noqa: F811
    command("publish", str(bundle.folder))
    result = {"finding": "fracture", "probability": 0.9, "model": {"bundle": "a" * 64}}
    for _ in range(2):
        job = a_job()
        ledger.accept(job, b"image")
        ended = ledger.append(ledger.append(job.started("w", now())).succeeded(result, now()))
        assert ShadowScores(ledger).put(score_of(ended, bundle.digest, "no_fracture", 0.1))
    code, lines, said = command("promote", bundle.digest)
    assert (code, lines) == (1, [])
    assert said.splitlines() == [
        f"{bundle.digest[:16]} does not become active",
        "2 jobs were scored by it as shadow, and 200 are needed",
        "all jobs: 2 of 2 findings differ from those served, and 10% may",
    ]
    assert RollOuts(ledger.records).read().active is None
    *groups, report = command("report", bundle.digest)[1]
    assert [(line["group"], line["differing"]) for line in groups] == [
        ("all jobs", 2),
        ("client clinic", 2),
        ("format PNG", 2),
    ]
    assert report["promotion"] == said.splitlines()[1:]


def test_a_roll_back_waits_for_no_gate_and_the_gate_is_asked_again(settings, ledger, monkeypatch):
    stores, judged = Stores.connect(settings), []
    roll_outs = RollOuts(stores.records)
    roll_outs.change(lambda now: now.promoted(A).promoted(B))

    def open_gate(digest, present, stores):
        judged.append(present.active)
        if len(judged) == 1:
            RollOuts(ledger.records).change(lambda now: now.rolled_back())
        return [], {}

    monkeypatch.setattr(models, "_scored", open_gate)
    monkeypatch.setattr(models, "_limits", lambda _: Limits(0, 0.1))
    monkeypatch.setattr(Bundles, "manifest", lambda *_: {})
    changed = models._promote(C, roll_outs, settings, stores)
    assert judged == [B, A]
    assert (changed.active, changed.before[0]) == (C, A)


def test_a_wrong_bundle_or_share_is_refused(command, bundle: Bundle, copied: Path):  # noqa: F811
    (copied / "weights.npz").write_bytes(b"evil")
    assert command("publish", str(copied))[0] == 2
    assert command("publish", "/nowhere")[0] == 2
    code, _, said = command("promote", "0" * 64)
    assert (code, "0 published bundles begin with" in said) == (1, True)
    command("publish", str(bundle.folder))
    code, _, said = command("canary", bundle.digest, "--percent", "60")
    assert (code, said) == (2, "60 percent is out of its range: from 0 to 50\n")
    assert command("roll-back")[0] == 0, "it always works"


def test_a_bundle_without_a_part_is_removed_with_its_scores(command, bundle: Bundle, ledger, redis):  # noqa: F811
    bundles, roll_outs = Bundles(ledger.objects), RollOuts(ledger.records)
    digest = bundles.publish(bundle.folder)
    job, result = a_job(), {"finding": "fracture", "probability": 0.9, "model": {"bundle": A}}
    ledger.accept(job, b"image")
    ended = ledger.append(ledger.append(job.started("w", now())).succeeded(result, now()))
    assert ShadowScores(ledger).put(score_of(ended, digest, "no_fracture", 0.1))
    assert ShadowScores(ledger).put(score_of(ended, B, "no_fracture", 0.1))
    led_to = "was active before, so that roll-backs lead to it, and stays"
    for used, said in (
        (RollOut(shadow=digest), "is shadow, and stays"),
        (RollOut(canary=digest), "is canary, and stays"),
        (RollOut(active=digest), "is active, and stays"),
        (RollOut(active=A, before=(B, digest)), led_to),
    ):
        roll_outs.change(lambda _, used=used: used)
        with pytest.raises(BundleInUse, match=f"{digest[:16]} {said}"):
            remove_bundle(digest, bundles, roll_outs, ShadowScores(ledger))
    assert command("remove", digest[:10]) == (1, [], f"{digest[:16]} {led_to}\n")
    roll_outs.change(lambda now: RollOut(active=A))
    files = len(list(ledger.objects.keys(f"models/bundles/{digest}/")))
    assert command("remove", digest[:10])[:2] == (0, [{"bundle": digest, "files": files, "scores": 1}])
    assert list(ledger.objects.keys("models/bundles/")) == []
    assert list(ledger.objects.keys(f"shadow/{digest}/")) == []
    assert not ledger.objects.exists(f"jobs/{job.id}/shadow/{digest}")
    assert len(ShadowScores(ledger).of(B)) == 1, "those of another bundle stay"
    acts = list(Audit(ledger.objects, redis).entries(now() - timedelta(hours=1)))
    assert [act["subject"] for act in acts if act["action"] == "removeModel"] == [digest]
    assert command("remove", digest)[::2] == (1, f"no bundle {digest} is published\n")


def test_a_removal_beside_a_new_part_gives_the_bundle_back(settings, bundle: Bundle, ledger, monkeypatch):  # noqa: F811
    bundles, roll_outs = Bundles(ledger.objects), RollOuts(ledger.records)
    digest = bundles.publish(bundle.folder)
    withdraw = bundles.withdraw

    def beside_another_operator(named: str) -> bytes | None:
        roll_outs.change(lambda now: now.with_canary(digest, 5))
        return withdraw(named)

    monkeypatch.setattr(bundles, "withdraw", beside_another_operator)
    with pytest.raises(BundleInUse):
        remove_bundle(digest, bundles, roll_outs, ShadowScores(ledger))
    assert bundles.find(digest) == digest


def test_no_bundle_gets_a_part_once_it_is_being_removed(bundle: Bundle, ledger):  # noqa: F811
    bundles, roll_outs = Bundles(ledger.objects), RollOuts(ledger.records)
    digest = bundles.publish(bundle.folder)
    change = models._of_published(digest, bundles, lambda now: now.with_canary(digest, 5))
    bundles.withdraw(digest)
    with pytest.raises(NoSuchBundle):
        roll_outs.change(change)
    assert roll_outs.read() == RollOut()


def test_the_list_says_why_a_worker_could_not_load_a_bundle(command, ledger):
    refusal = Refusal("canary", A, "inference:here:1:b", "it was not loaded within 90 s")
    ledger.view.model_loads.report(refusal.process, [refusal])
    assert command("list")[1][-1] == asdict(refusal)
