"""GET /v1/model describes the bundle that is served: version, digests, thresholds with meaning, card."""

import hashlib
import json
from pathlib import Path

import pytest

from api.routes.model import ServedModel
from jobs.store.served_model import publish
from model.bundle import CARD, MANIFEST, WEIGHTS, Thresholds, read_bundle
from model.bundle_summary import describe_bundle
from model.classifier import name_finding
from tests.api.conftest import Api, problem_of

SHIPPED = Path(__file__).parents[3] / "model" / "bundle"
BUNDLE = read_bundle(SHIPPED)


@pytest.fixture
def described(api: Api) -> dict:
    publish(api.objects, describe_bundle(BUNDLE))
    answer = api.request("GET", "/v1/model")
    assert answer.status == 200, answer.data
    document: dict = answer.json()
    return document


def test_the_model_is_named_by_its_version_and_digests(described: dict):
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    for name in ("name", "version", "backbone", "input_size", "preprocessing_version", "data", "licence"):
        assert described[name] == manifest[name], name
    for name, file in (("sha256", WEIGHTS), ("bundle", MANIFEST)):
        assert described[name] == hashlib.sha256((SHIPPED / file).read_bytes()).hexdigest()
    assert set(described) == set(ServedModel.__annotations__)
    assert "not a diagnosis" in described["intended_use"]


def test_each_threshold_has_its_meaning_and_its_worth(described: dict):
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    low, high = described["operating_points"]
    for point, name in ((low, "low"), (high, "high")):
        assert (point["name"], point["threshold"]) == (name, manifest["thresholds"][name])
        for measure in ("sensitivity", "specificity"):
            assert point[measure] == manifest["metrics"]["test"][f"{measure}_at_{name}"]
    assert described["auc"] == manifest["metrics"]["test"]["auc"]
    # The meanings name the findings on both sides of each threshold.
    thresholds = Thresholds(low["threshold"], high["threshold"], 0.5)
    below, between, above = (
        name_finding(at, thresholds) for at in (low["threshold"] - 1e-6, low["threshold"], high["threshold"])
    )
    assert f"Below this probability the finding is `{below}`" in low["meaning"]
    assert f"From this probability on the finding is `{above}`" in high["meaning"]
    assert f"Between both thresholds the finding is `{between}`" in high["meaning"]


def test_the_card_is_the_bundles(described: dict):
    assert described["card"] == (SHIPPED / CARD).read_text(encoding="utf-8")
    assert described["card"].startswith(f"# {described['name']} {described['version']}\n")


def test_an_unchanged_model_is_not_sent_twice(api: Api, described: dict):
    tag = api.request("GET", "/v1/model").headers["ETag"]
    again = api.request("GET", "/v1/model", headers={"If-None-Match": tag})
    assert (again.status, again.data) == (304, b"")
    publish(api.objects, {**described, "bundle": "0" * 64})
    assert api.request("GET", "/v1/model", headers={"If-None-Match": tag}).status == 200


def test_before_any_worker_there_is_no_model(api: Api):
    api.objects.delete("model")
    answer = api.request("GET", "/v1/model")
    assert (answer.status, problem_of(answer)["type"]) == (409, "/problems/not-ready")
    assert answer.headers["Retry-After"]


def test_a_key_is_needed(api: Api, described: dict):
    assert api.request("GET", "/v1/model", key="").status == 401
