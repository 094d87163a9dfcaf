"""deploy/kubernetes keeps rules of our own, and each rule sees its breach. No cluster has run it here."""

import re
from typing import Any

import pytest

from tests.deploy import rules
from tests.deploy.manifests import BUILDS, Object, build, changed
from tests.deploy.rules import RULES, Rule

CONTAINER = "spec|template|spec|containers|0|"
POD = "spec|template|spec|"
OF_API = ("Deployment", "api")
BREACHES: list[tuple[Rule, tuple[str, str], str, Any]] = [
    (rules.images_are_pinned, OF_API, f"{CONTAINER}image", "osteo-synergy-light:latest"),
    (rules.images_are_pinned, OF_API, f"{CONTAINER}image", "osteo-synergy-light"),
    (rules.images_are_pinned, ("StatefulSet", "redis"), f"{CONTAINER}image", "redis:8"),
    (rules.probes_are_set, OF_API, f"{CONTAINER}readinessProbe", None),
    (rules.probes_are_set, ("StatefulSet", "redis"), f"{CONTAINER}livenessProbe", None),
    (
        rules.secrets_come_from_secrets,
        OF_API,
        f"{CONTAINER}env",
        [{"name": "REDIS_URL", "value": "redis://:x@redis:6379/0"}],
    ),
    (rules.secrets_come_from_secrets, ("ConfigMap", "settings"), "data|OSTEO_SIGNING_KEY", "x"),
    (rules.secrets_come_from_secrets, ("ServiceAccount", "osteo-synergy"), "kind", "Secret"),
    (rules.resources_are_set, OF_API, f"{CONTAINER}resources|limits", None),
    (rules.resources_are_set, OF_API, f"{CONTAINER}resources|requests|cpu", None),
    (rules.resources_are_set, OF_API, f"{POD}volumes|0|emptyDir|sizeLimit", None),
    (rules.nothing_is_privileged, OF_API, f"{POD}securityContext|runAsNonRoot", None),
    (rules.nothing_is_privileged, OF_API, f"{POD}securityContext|runAsUser", 0),
    (rules.nothing_is_privileged, OF_API, f"{POD}securityContext|seccompProfile|type", "Unconfined"),
    (rules.nothing_is_privileged, OF_API, f"{CONTAINER}securityContext|allowPrivilegeEscalation", None),
    (rules.nothing_is_privileged, OF_API, f"{CONTAINER}securityContext|privileged", True),
    (rules.nothing_is_privileged, OF_API, f"{CONTAINER}securityContext|capabilities|add", ["NET_ADMIN"]),
    (rules.nothing_is_privileged, OF_API, f"{CONTAINER}securityContext|readOnlyRootFilesystem", None),
    (rules.nothing_is_privileged, OF_API, f"{CONTAINER}securityContext|runAsUser", 0),
    (rules.nothing_is_privileged, OF_API, f"{POD}hostNetwork", True),
    (rules.nothing_is_privileged, OF_API, f"{POD}volumes|0", {"name": "tmp", "hostPath": {"path": "/"}}),
    (rules.nothing_is_privileged, OF_API, f"{CONTAINER}ports|0|hostPort", 80),
    (
        rules.nothing_speaks_with_the_cluster,
        ("ServiceAccount", "osteo-synergy"),
        "automountServiceAccountToken",
        None,
    ),
    (rules.nothing_speaks_with_the_cluster, OF_API, f"{POD}automountServiceAccountToken", True),
    (rules.nothing_speaks_with_the_cluster, OF_API, f"{POD}serviceAccountName", None),
    (rules.nothing_speaks_with_the_cluster, OF_API, f"{POD}enableServiceLinks", None),
    (rules.nothing_is_open_to_the_world, ("Service", "proxy"), "spec|type", "LoadBalancer"),
    (rules.nothing_is_open_to_the_world, ("NetworkPolicy", "closed"), "spec|policyTypes", ["Ingress"]),
    (rules.nothing_is_open_to_the_world, ("NetworkPolicy", "closed"), "spec|egress", [{}]),
    (
        rules.nothing_is_open_to_the_world,
        ("Namespace", "osteo-synergy"),
        "metadata|labels",
        {"pod-security.kubernetes.io/enforce": "baseline"},
    ),
    (rules.disruptions_are_bounded, ("PodDisruptionBudget", "api"), "spec|maxUnavailable", 0),
    (
        rules.disruptions_are_bounded,
        ("PodDisruptionBudget", "api"),
        "spec|selector|matchLabels",
        {"app.kubernetes.io/component": "ap"},
    ),
    (rules.disruptions_are_bounded, OF_API, f"{POD}topologySpreadConstraints", None),
    (rules.disruptions_are_bounded, OF_API, f"{POD}topologySpreadConstraints|0|labelSelector", {}),
    (rules.every_reference_leads_somewhere, OF_API, f"{CONTAINER}envFrom|0|configMapRef|name", "settings"),
    (rules.every_reference_leads_somewhere, OF_API, f"{CONTAINER}volumeMounts", []),
    (
        rules.every_reference_leads_somewhere,
        OF_API,
        "spec|template|metadata|labels|app.kubernetes.io/component",
        "ap",
    ),
    (
        rules.every_reference_leads_somewhere,
        ("Service", "api"),
        "spec|selector",
        {"app.kubernetes.io/component": "proxy"},
    ),
    (
        rules.every_reference_leads_somewhere,
        ("NetworkPolicy", "queue"),
        "spec|podSelector|matchLabels",
        {"osteo.network/queue": "x"},
    ),
    (rules.every_reference_leads_somewhere, ("Deployment", "inference"), "spec|replicas", 2),
]
"""A rule, and what breaks it: the kind and name of an object, the place in it, and what is written there."""


@pytest.fixture(scope="module")
def everything() -> list[Object]:
    """Objects of all overlays: those of the base, scaled by KEDA, and the two stores."""
    scaled = build("overlays/keda")
    there = {o["metadata"]["name"].partition("-")[0] for o in scaled}
    return [
        *scaled,
        *(o for o in build("overlays/small") if o["metadata"]["name"].partition("-")[0] not in there),
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", BUILDS)
def test_every_overlay_keeps_every_rule(name: str, rule: Rule):
    assert list(rule(build(name))) == []


@pytest.mark.parametrize(
    ("rule", "which", "path", "new"), BREACHES, ids=lambda v: v.__name__ if callable(v) else None
)
def test_every_rule_sees_its_breach(
    rule: Rule, which: tuple[str, str], path: str, new: Any, everything: list[Object]
):
    kind, name = which
    # The name of a ConfigMap ends with a digest.
    (place,) = (
        n
        for n, o in enumerate(everything)
        if o["kind"] == kind and re.fullmatch(rf"{name}(-\w{{10}})?", o["metadata"]["name"])
    )
    broken = [changed(o, path, new) if n == place else o for n, o in enumerate(everything)]
    assert list(rule(everything)) == []
    assert list(rule(broken))


def test_every_rule_has_a_breach():
    assert {rule for rule, *_ in BREACHES} == set(RULES)
