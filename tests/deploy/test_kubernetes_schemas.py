"""deploy/kubernetes is what four versions of Kubernetes, and KEDA, take; Prometheus answers its queries."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.identity.key_store import Keys
from jobs.settings import Settings
from tests.api.conftest import collaborators
from tests.deploy.manifests import BUILDS, Object, build, changed, named, strings

VERSIONS = ("1.34", "1.35", "1.36", "1.37")
SCALED = named(build("overlays/keda"), "ScaledObject", "inference")
SINCE_2_17 = {"spec|fallback|behavior": "currentReplicasIfHigher"}
"""What KEDA's documentation has since 2.17, and cloudcoil's model, the newest for Python 3.11, is of 2.16."""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_a_version_are_there_and_strict(version: str):
    """Without them kubernetes-validate would take those of the version before."""
    (deployment,) = (o for o in build("base") if o["kind"] == "Deployment" and o["metadata"]["name"] == "api")
    assert kubernetes_validate.validate(deployment, version, strict=True) == version
    misspelt = changed(deployment, "spec|template|spec|containers|0|readinesProbe", {})
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(misspelt, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BUILDS)
def test_every_object_is_what_a_version_of_kubernetes_takes(name: str, version: str):
    objects = [o for o in build(name) if not o["apiVersion"].startswith("keda.sh/")]
    assert len(objects) > 20
    for made in objects:
        assert kubernetes_validate.validate(made, version, strict=True) == version


def without_news(scaled: Object) -> Object:
    """A ScaledObject as KEDA 2.16 takes it. Fails if what is newer has another value than KEDA knows."""
    for path, value in SINCE_2_17.items():
        inner: Any = scaled
        for key in path.split("|"):
            inner = inner[key]
        assert inner == value
        scaled = changed(scaled, path, None)
    return scaled


def unknown_keys(given: Any, known: Any, at: str = "") -> set[str]:
    """The keys of an object that its model has not kept."""
    if isinstance(given, dict):
        inner = [unknown_keys(given[key], known[key], f"{at}|{key}") for key in given.keys() & known.keys()]
        return {f"{at}|{key}" for key in given.keys() - known.keys()}.union(*inner)
    if isinstance(given, list):
        pairs = zip(given, known, strict=True)
        return set().union(*(unknown_keys(a, b, f"{at}|{n}") for n, (a, b) in enumerate(pairs)))
    return set()


def faults(scaled: Object) -> set[str]:
    model = ScaledObject.model_validate(scaled)
    return unknown_keys(scaled, model.model_dump(by_alias=True, exclude_unset=True))


def test_keda_takes_the_scaled_object_and_knows_each_of_its_keys():
    assert [o["kind"] for o in build("overlays/keda") if o["apiVersion"].startswith("keda.sh/")] == [
        "ScaledObject"
    ]
    assert faults(without_news(SCALED)) == set()


@pytest.mark.parametrize("path", ["spec|minReplicas", "spec|triggers|1|metricTyp", "spec|fallback|behaviour"])
def test_a_key_that_keda_does_not_know_is_found(path: str):
    assert faults(changed(without_news(SCALED), path, "x")) == {f"|{path}"}


@pytest.mark.parametrize("path", ["spec|triggers", "spec|scaleTargetRef|name", "spec|fallback|replicas"])
def test_a_scaled_object_that_lacks_what_keda_requires_is_refused(path: str):
    with pytest.raises(ValueError, match="Field required"):
        faults(changed(without_news(SCALED), path, None))


def test_workers_are_scaled_by_our_own_metrics_not_by_lists_in_redis():
    for trigger in SCALED["spec"]["triggers"]:
        assert trigger["type"] == "prometheus"
        assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold", "ignoreNullValues"}
        # An answer without figures is no empty queue.
        assert trigger["metadata"]["ignoreNullValues"] == "false"
    waiting, oldest = SCALED["spec"]["triggers"]
    assert waiting["metadata"]["threshold"] == str(Settings(signing_key="").batch)
    assert "osteo_jobs_waiting" in waiting["metadata"]["query"]
    assert "osteo_jobs_oldest_seconds" in oldest["metadata"]["query"]
    assert "redis" not in " ".join(strings(SCALED)).lower()


def test_workers_leave_slowly_and_never_all():
    spec = SCALED["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["fallback"]["replicas"]) == (1, 8, 3)
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down == {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    }


def test_prometheus_counts_the_queue_once_however_many_apis_tell_it(tmp_path: Path):
    """Two API processes are asked, and each tells the figures of the whole service."""
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is missing. On Debian: apt-get install prometheus")
    figures = {
        'osteo_jobs_waiting{priority="stat"': 12,
        'osteo_jobs_waiting{priority="routine"': 30,
        'osteo_jobs_oldest_seconds{priority="stat"': 25,
        'osteo_jobs_oldest_seconds{priority="routine"': 900,
    }
    series = [
        {"series": f'{name},instance="{api}"}}', "values": str(value)}
        for name, value in figures.items()
        for api in ("10.0.0.1:8000", "10.0.0.2:8000")
    ]
    queries = [trigger["metadata"]["query"] for trigger in SCALED["spec"]["triggers"]]
    asked = [
        {"expr": query, "eval_time": "0m", "exp_samples": [{"labels": "{}", "value": value}]}
        for query, value in zip(queries, (42, 25), strict=True)
    ]
    case = tmp_path / "case.yml"
    case.write_text(yaml.safe_dump({"tests": [{"input_series": series, "promql_expr_test": asked}]}))
    ran = subprocess.run([promtool, "test", "rules", case], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_api_tells_every_figure_that_a_query_names(settings, ledger, queue):
    app = create_app(settings, collaborators(settings, ledger, queue, Keys(ledger.records)))
    told = app.test_client().get("/metrics").text
    samples = [s for family in text_string_to_metric_families(told) for s in family.samples]
    for trigger in SCALED["spec"]["triggers"]:
        name, priority = re.search(
            r"\((osteo_[a-z_]+)(?:\{priority=\"(\w+)\"\})?\)", trigger["metadata"]["query"]
        ).groups()  # type: ignore[union-attr]
        assert [s for s in samples if s.name == name and priority in (None, s.labels["priority"])]
