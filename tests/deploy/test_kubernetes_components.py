"""What an overlay of deploy/kubernetes may add: the way to a collector of traces, and a shadow."""

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from tests.compose.test_compose_files import SERVICES
from tests.deploy.manifests import (
    BUILDS,
    FOLDER,
    ROOT,
    Object,
    build,
    container,
    labels,
    named,
    of_kind,
    selected,
    workloads,
)
from tests.deploy.rules import RULES
from tests.deploy.test_kubernetes_schemas import VERSIONS

PAGE = (ROOT / "docs/deploy.md").read_text()
LINES = re.findall(r"`(components: \[\S+/traces\]|replicas: \[\{name: shadow, count: 1\}\])`", PAGE)
ADDED = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """An overlay over `small` with the two lines of docs/deploy.md."""
    copy = tmp_path_factory.mktemp("copy") / "kubernetes"
    shutil.copytree(FOLDER, copy)
    overlay: Path = copy / "overlays/here/kustomization.yaml"
    overlay.parent.mkdir()
    made = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "osteo-synergy",
        "resources": ["../small"],
    }
    assert len(LINES) == 2
    overlay.write_text(yaml.safe_dump(made) + "\n".join(LINES))
    return build("overlays/here", copy)


def policy(objects: list[Object]) -> Object:
    return named(objects, "NetworkPolicy", "traces")["spec"]


def settings(objects: list[Object]) -> dict[str, str]:
    (found,) = (o for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"].startswith("settings"))
    return found["data"]


def test_the_parts_that_record_spans_reach_the_collector_and_no_other(here: list[Object]):
    recording = {name for name, service in SERVICES.items() if ADDED in service.get("environment", {})}
    assert selected(policy(here)["podSelector"], here) == recording - {"bucket"}
    assert policy(here)["policyTypes"] == ["Egress"]


def test_the_endpoint_is_where_the_policy_leads(here: list[Object]):
    (rule,) = policy(here)["egress"]
    endpoint = urlsplit(settings(here)[ADDED])
    (peer,) = rule["to"]
    namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert endpoint.hostname == f"collector.{namespace}.svc"
    assert rule["ports"] == [{"protocol": "TCP", "port": endpoint.port}]


@pytest.mark.parametrize("name", BUILDS)
def test_no_part_reaches_a_collector_unless_an_overlay_says_so(name: str):
    objects = build(name)
    assert "traces" not in {o["metadata"]["name"] for o in of_kind(objects, "NetworkPolicy")}
    assert ADDED not in settings(objects)
    assert not [part for part, w in workloads(objects).items() if "osteo.network/traces" in labels(w)]


def test_an_overlay_starts_one_shadow(here: list[Object]):
    assert named(here, "Deployment", "shadow")["spec"]["replicas"] == 1
    assert container(workloads(here)["shadow"])["args"] == SERVICES["shadow"]["command"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_such_an_overlay_keeps_every_rule(here: list[Object], rule):
    assert list(rule(here)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_of_such_an_overlay_is_taken(here: list[Object], version: str):
    for made in here:
        assert kubernetes_validate.validate(made, version, strict=True) == version
