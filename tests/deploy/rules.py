"""Rules of our own for what deploy/kubernetes makes: each yields a sentence for every breach."""

import re
from collections.abc import Callable, Iterator

from tests.compose.test_compose_files import SECRETS
from tests.deploy.manifests import (
    Object,
    container,
    labels,
    named,
    of_kind,
    pod,
    secrets,
    selected,
    workloads,
)

Rule = Callable[[list[Object]], Iterator[str]]
PROBES = {"startupProbe", "readinessProbe", "livenessProbe"}
WRITES_TO_ITS_ROOT = {"seaweedfs"}
"""As in docker-compose.yml."""
VOLUMES = {"emptyDir", "configMap"}


def images_are_pinned(objects: list[Object]) -> Iterator[str]:
    for name, workload in workloads(objects).items():
        image, _, tag = container(workload)["image"].rpartition(":")
        if not image or not re.match(r"\d+\.\d+\.\d+|\d+\.\d+$", tag):
            yield f"{name} has the image {container(workload)['image']}"


def probes_are_set(objects: list[Object]) -> Iterator[str]:
    for name, workload in workloads(objects).items():
        if workload["kind"] != "Job" and not container(workload).keys() >= PROBES:
            yield f"{name} lacks {PROBES - container(workload).keys()}"


def secrets_come_from_secrets(objects: list[Object]) -> Iterator[str]:
    """No Secret is in the files: the operator makes them."""
    for name, workload in workloads(objects).items():
        for variable in container(workload).get("env", []):
            wants_secret = SECRETS.search(variable["name"]) or variable["name"] == "AWS_ACCESS_KEY_ID"
            if wants_secret and variable["name"] not in secrets(workload):
                yield f"{name} has {variable['name']} in another way than from a Secret"
    for settings in of_kind(objects, "ConfigMap"):
        for key in settings["data"]:
            if SECRETS.search(key) and key != "OSTEO_KEY_SECONDS":
                yield f"{settings['metadata']['name']} has the secret {key}"
    for secret in of_kind(objects, "Secret"):
        yield f"{secret['metadata']['name']} is a Secret in the files"


def resources_are_set(objects: list[Object]) -> Iterator[str]:
    """There is no limit of processors: it would hold a worker back on a node that has nothing else to do."""
    for name, workload in workloads(objects).items():
        resources = container(workload).get("resources", {})
        if not resources.get("requests", {}).keys() >= {"cpu", "memory"} or "memory" not in resources.get(
            "limits", {}
        ):
            yield f"{name} has the resources {resources}"
        for volume in pod(workload).get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name} has the volume {volume['name']} without a limit"


def nothing_is_privileged(objects: list[Object]) -> Iterator[str]:
    for name, workload in workloads(objects).items():
        spec, of_pod, own = (
            pod(workload),
            pod(workload)["securityContext"],
            container(workload)["securityContext"],
        )
        if (
            of_pod.get("runAsNonRoot") is not True
            or not of_pod.get("runAsUser")
            or not of_pod.get("runAsGroup")
        ):
            yield f"{name} may run as root"
        if of_pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{name} may gain privileges"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} has capabilities"
        if own.get("readOnlyRootFilesystem") is not True and name not in WRITES_TO_ITS_ROOT:
            yield f"{name} may write to its root"
        if own.keys() & {"runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile", "procMount"}:
            yield f"{name} has another user or profile than its pod"
        if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC", "hostUsers")):
            yield f"{name} is in a namespace of the node"
        if any(not volume.keys() & VOLUMES for volume in spec.get("volumes", [])):
            yield f"{name} has another volume than {VOLUMES}"
        if any("hostPort" in port for port in container(workload).get("ports", [])):
            yield f"{name} has a port of the node"


def nothing_speaks_with_the_cluster(objects: list[Object]) -> Iterator[str]:
    if named(objects, "ServiceAccount", "osteo-synergy").get("automountServiceAccountToken") is not False:
        yield "the ServiceAccount has a token"
    for name, workload in workloads(objects).items():
        spec = pod(workload)
        if (
            spec.get("serviceAccountName") != "osteo-synergy"
            or spec.get("automountServiceAccountToken") is not False
        ):
            yield f"{name} has a token"
        # Flower takes FLOWER_PORT for a setting, and so on.
        if spec.get("enableServiceLinks") is not False:
            yield f"{name} is given variables of Services"


def nothing_is_open_to_the_world(objects: list[Object]) -> Iterator[str]:
    for service in of_kind(objects, "Service"):
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{service['metadata']['name']} is reached from outside"
    closed = named(objects, "NetworkPolicy", "closed")["spec"]
    if closed != {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}:
        yield "what no policy allows is not refused"
    (namespace,) = of_kind(objects, "Namespace")
    if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace takes privileged pods"


def disruptions_are_bounded(objects: list[Object]) -> Iterator[str]:
    """Several of one part are spread, and leave one by one; no budget keeps a node from draining."""
    bounded = set()
    for budget in of_kind(objects, "PodDisruptionBudget"):
        bounded |= selected(budget["spec"]["selector"], objects)
        if budget["spec"].get("maxUnavailable") != 1:
            yield f"{budget['metadata']['name']} may keep a node from draining"
    for name, workload in workloads(objects).items():
        if workload["kind"] == "Deployment" and workload["spec"].get("replicas") != 1:
            if name not in bounded:
                yield f"{name} has no budget"
            spread = pod(workload).get("topologySpreadConstraints", [])
            if {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} != {
                s["topologyKey"] for s in spread
            }:
                yield f"{name} is not spread"
            if any(selected(s["labelSelector"], objects) != {name} for s in spread):
                yield f"{name} is spread among others"


def every_reference_leads_somewhere(objects: list[Object]) -> Iterator[str]:
    made = {o["metadata"]["name"] for o in of_kind(objects, "ConfigMap")}
    for name, workload in workloads(objects).items():
        spec, only = pod(workload), container(workload)
        wanted = {v["configMap"]["name"] for v in spec.get("volumes", []) if "configMap" in v}
        wanted |= {source["configMapRef"]["name"] for source in only.get("envFrom", [])}
        if wanted - made:
            yield f"{name} wants {wanted - made}"
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {v["name"] for v in spec.get("volumes", [])} | {c["metadata"]["name"] for c in claims}
        if {mount["name"] for mount in only.get("volumeMounts", [])} != volumes:
            yield f"{name} mounts other volumes than it has"
        own = workload["spec"].get("selector", {}).get("matchLabels", {})
        if not own.items() <= labels(workload).items():
            yield f"{name} does not select its own pods"
    for service in of_kind(objects, "Service"):
        chosen = selected({"matchLabels": service["spec"]["selector"]}, objects)
        if chosen != {service["metadata"]["name"]}:
            yield f"the Service {service['metadata']['name']} leads to {chosen}"
    for policy in of_kind(objects, "NetworkPolicy"):
        if not selected(policy["spec"]["podSelector"], objects):
            yield f"the policy {policy['metadata']['name']} is for no pod"
    for scaled in of_kind(objects, "ScaledObject"):
        target = workloads(objects).get(scaled["spec"]["scaleTargetRef"]["name"], {})
        if target.get("kind") != "Deployment" or "replicas" in target["spec"]:
            yield "a ScaledObject leads to no Deployment that leaves it the number"


RULES: tuple[Rule, ...] = (
    images_are_pinned,
    probes_are_set,
    secrets_come_from_secrets,
    resources_are_set,
    nothing_is_privileged,
    nothing_speaks_with_the_cluster,
    nothing_is_open_to_the_world,
    disruptions_are_bounded,
    every_reference_leads_somewhere,
)
