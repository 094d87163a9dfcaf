"""Prometheus reaches every role that a rule asks for, in each kind of deployment, as docs/deploy.md says."""

import re
import shutil
import subprocess
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml

from stack.part import ROOT
from tests.compose.sandbox import interpolated
from tests.compose.test_compose_files import COMPOSE
from tests.deploy.manifests import (
    BUILDS,
    Object,
    build,
    container,
    labels,
    named,
    of_kind,
    selected,
    workloads,
)
from tests.deploy.manifests import FOLDER as KUBERNETES
from tests.monitoring import FOLDER, metrics_in, rules
from tests.test_linuxone import COMPOSE as ON_LINUXONE

Job = dict[str, Any]
PAGE = (ROOT / "docs/deploy.md").read_text()
COMPOSE_FILES = {"docker-compose.yml": COMPOSE, "docker-compose.linuxone.yml": ON_LINUXONE}
POD = "__meta_kubernetes_pod"


def jobs_in(heading: str) -> dict[str, Job]:
    """The jobs of a section of docs/deploy.md, by name."""
    section = PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    return {job["job_name"]: job for job in yaml.safe_load(block)}


OF_COMPOSE, OF_KUBERNETES = jobs_in("## In containers"), jobs_in("### Prometheus on Kubernetes")
OF_DEBIAN = {
    job["job_name"]: job for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
}


def roles_that_rules_ask() -> set[str]:
    """The roles that alone serve a metric of a rule, by the table of docs/operate.md."""
    page = (ROOT / "docs/operate.md").read_text()
    rows = re.findall(r"^\| `(osteo_\w+)` \| [^|]+ \| ([\w, ]+) \|", page, re.MULTILINE)
    served = {name: set(roles.split(", ")) for name, roles in rows}
    asked = {metric for rule in rules() for metric in metrics_in(rule["expr"])}
    names = {re.sub(r"_(bucket|count|sum)$", "", metric) for metric in asked}
    return {role for name in names for role in served.get(name, {"api"})}


ROLES = {"api", "inference", "delivery", "sweeper", "shadow"}
"""Those that serve metrics."""


def test_the_rules_ask_for_known_jobs_and_for_roles_that_serve_metrics():
    assert {"api", "inference", "delivery"} <= roles_that_rules_ask() <= ROLES
    asked = {job for rule in rules() for job in re.findall(r'job="([\w-]+)"', rule["expr"])}
    assert asked == OF_DEBIAN.keys() == OF_COMPOSE.keys() == OF_KUBERNETES.keys()


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_prometheus_in_the_network_of_compose_finds_every_role(file: str):
    compose = COMPOSE_FILES[file]
    found = {}
    for job in OF_COMPOSE.values():
        (names,) = job["dns_sd_configs"]
        assert names["type"] == "A"
        found |= dict.fromkeys(names["names"], names["port"])
    assert set(found) == ROLES
    assert OF_COMPOSE["osteo-workers"]["relabel_configs"] == [
        {"source_labels": ["__meta_dns_name"], "target_label": "role"}
    ]
    for role, port in found.items():
        service = compose["services"][role]
        assert "queue" in service["networks"]
        given = {name: interpolated(service["environment"][name], {}) for name in settings_for(port)}
        assert role == "api" or given == settings_for(port)
    assert f"`{compose['name']}_queue`" in PAGE


def settings_for(port: int) -> dict[str, str]:
    """What a worker is given that serves its metrics to other hosts."""
    return {"OSTEO_METRICS_PORT": str(port), "OSTEO_METRICS_ADDRESS": "0.0.0.0"}


def discovered(job: Job, objects: list[Object]) -> dict[tuple[str, int], dict[str, str]]:
    """The labels of each target that a job keeps, by workload and port, as Prometheus would find them."""
    targets = {}
    (source,) = job["kubernetes_sd_configs"]
    assert source["role"] == "pod"
    for name, workload in workloads(objects).items():
        assert source["namespaces"]["names"] == [workload["metadata"]["namespace"]]
        for port in container(workload).get("ports", []):
            meta = {re.sub(r"\W", "_", f"{POD}_label_{k}"): v for k, v in labels(workload).items()}
            meta |= {f"{POD}_container_port_name": port["name"], f"{POD}_name": f"{name}-0"}
            if (kept := relabelled(meta, job["relabel_configs"])) is not None:
                targets[name, port["containerPort"]] = kept
    return targets


def relabelled(meta: dict[str, str], steps: list[dict[str, Any]]) -> dict[str, str] | None:
    """The labels that these steps make, or None where the target is dropped."""
    made: dict[str, str] = {}
    for step in steps:
        text = ";".join(meta.get(label, "") for label in step["source_labels"])
        if step.get("action") == "keep":
            if not re.fullmatch(step["regex"], text):
                return None
        else:
            assert set(step) == {"source_labels", "target_label"}
            made[step["target_label"]] = text
    return made


@pytest.mark.parametrize("name", BUILDS)
def test_prometheus_finds_every_role_on_kubernetes_with_its_name(name: str):
    objects = build(name)
    workers = discovered(OF_KUBERNETES["osteo-workers"], objects)
    assert {part: found["role"] for (part, _), found in workers.items()} == {
        role: role for role in ROLES - {"api"}
    }
    assert {part for part, _ in discovered(OF_KUBERNETES["osteo"], objects)} == {"api"}
    (settings,) = (
        o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"].startswith("settings")
    )
    assert {port for _, port in workers} == {int(settings["data"]["OSTEO_METRICS_PORT"])}
    assert settings["data"].items() >= settings_for(8100).items()


@pytest.mark.parametrize("name", BUILDS)
def test_the_network_lets_prometheus_ask_every_role_and_nothing_else(name: str):
    objects = build(name)
    found = discovered(OF_KUBERNETES["osteo"], objects) | discovered(OF_KUBERNETES["osteo-workers"], objects)
    policies = {policy: named(objects, "NetworkPolicy", policy)["spec"] for policy in ("api", "metrics")}
    reached = {
        (part, port["containerPort"])
        for policy in policies.values()
        for rule in policy["ingress"]
        if any("namespaceSelector" in peer for peer in rule["from"])
        for part in selected(policy["podSelector"], objects)
        for port in container(workloads(objects)[part])["ports"]
        if port["name"] in {opened["port"] for opened in rule["ports"]}
    }
    assert reached == found.keys()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """What an overlay over `small` makes with the line of docs/deploy.md for the Prometheus Operator."""
    copy = tmp_path_factory.mktemp("copy") / "kubernetes"
    shutil.copytree(KUBERNETES, copy)
    (copy / "overlays/here").mkdir()
    (line,) = re.findall(r"`(components: \[\S+/monitoring\])`", PAGE)
    made = {"kind": "Kustomization", "namespace": "osteo-synergy", "resources": ["../small"]}
    (copy / "overlays/here/kustomization.yaml").write_text(yaml.safe_dump(made) + line)
    return build("overlays/here", copy)


def test_the_operator_of_prometheus_finds_what_the_jobs_of_the_page_find(watched: list[Object]):
    for monitor in of_kind(watched, "PodMonitor"):
        name = monitor["metadata"]["name"]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        job, *steps = endpoint["relabelings"]
        assert job == {"targetLabel": "job", "replacement": name}
        chosen = selected(monitor["spec"]["selector"], watched)
        ports = {
            (part, port["containerPort"])
            for part in chosen
            for port in container(workloads(watched)[part])["ports"]
            if port["name"] == endpoint["port"]
        }
        assert ports == discovered(OF_KUBERNETES[name], watched).keys()
        roles = [
            step for step in OF_KUBERNETES[name]["relabel_configs"] if step.get("target_label") == "role"
        ]
        assert steps == [
            {"sourceLabels": role["source_labels"], "targetLabel": role["target_label"]} for role in roles
        ]
    names = {monitor["metadata"]["name"] for monitor in of_kind(watched, "PodMonitor")}
    assert names == OF_KUBERNETES.keys()


def test_the_operator_of_prometheus_has_the_rules_of_deploy_monitoring(watched: list[Object]):
    (made,) = of_kind(watched, "PrometheusRule")
    rules_of_debian = (FOLDER / "rules/osteo.yml").read_text()
    assert made["spec"] == yaml.safe_load(rules_of_debian)
    copy = (KUBERNETES / "components/monitoring/rules.yaml").read_text()
    assert copy.endswith(f"\nspec:\n{indent(rules_of_debian, '  ')}"), "indent rules/osteo.yml by two there"


def test_on_debian_every_role_that_is_enabled_is_watched():
    (api,) = OF_DEBIAN["osteo"]["static_configs"]
    assert api["targets"] == ["127.0.0.1:8000"]
    workers = {one["labels"]["role"] for one in OF_DEBIAN["osteo-workers"]["static_configs"]}
    assert {"api", *workers} >= roles_that_rules_ask() - {"shadow"}


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool: apt-get install prometheus"
)
@pytest.mark.parametrize("jobs", [OF_COMPOSE, OF_KUBERNETES], ids=["compose", "kubernetes"])
def test_prometheus_takes_the_jobs_of_the_page(jobs: dict[str, Job], tmp_path: Path):
    # Debian's Prometheus is built without Kubernetes.
    known = [{k: v for k, v in job.items() if k != "kubernetes_sd_configs"} for job in jobs.values()]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": known}))
    ran = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
