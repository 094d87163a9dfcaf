"""deploy/kubernetes runs what docker-compose.yml runs: roles, commands, images, secrets and limits."""

import re

import pytest

from jobs import settings
from tests.compose.test_compose_files import OPTIONAL, OURS, ROLES, SECRETS, SERVICES
from tests.deploy.manifests import (
    FOLDER,
    ROOT,
    build,
    container,
    named,
    of_kind,
    pod,
    secrets,
    workloads,
)
from tests.test_linuxone import SERVICES as ON_LINUXONE

STORES = {"redis", "seaweedfs"}
ALL = workloads(build("overlays/small"))
USERS = {"redis": (999, 1000)}
"""Names of users in images, by number: that of redis is the one of its Alpine image."""
SECRET_OF = {
    "REDIS_URL": "redis",
    "OSTEO_SIGNING_KEY": "signing-key",
    "OSTEO_OIDC_CLIENT_SECRET": "oidc",  # pragma: allowlist secret
    "OSTEO_SMTP_URL": "smtp",
    "FLOWER_BASIC_AUTH": "flower",
}
MADE = {"small": "overlays/small", "base": "base", "keda": "overlays/keda", "s390x": "overlays/s390x"}
ANALYSE = ("inference", "shadow")
every_service = pytest.mark.parametrize("name", SERVICES)


def bytes_of(text: str) -> int:
    """The bytes that Compose's `512m` and Kubernetes' `512Mi` say."""
    number, unit = re.fullmatch(r"(\d+)([mg]|Mi|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1 << 20, "g": 1 << 30}[unit[0].lower()]


def seconds_of(text: str) -> int:
    return int(text.removesuffix("s"))


def test_every_service_is_there_and_the_stores_in_dev_alone():
    assert set(ALL) == set(SERVICES)
    for build_name in ("base", "overlays/s390x", "overlays/keda"):
        assert set(workloads(build(build_name))) == set(SERVICES) - STORES
    assert {name for name, workload in ALL.items() if workload["kind"] == "Job"} == {
        name for name, service in SERVICES.items() if service.get("profiles") == ["setup"]
    }


@pytest.mark.parametrize("name", MADE)
def test_a_shadow_is_there_and_none_runs_before_an_overlay_says_so(name: str):
    shadow = named(build(MADE[name]), "Deployment", "shadow")
    assert shadow["spec"]["replicas"] == 0
    assert shadow["spec"]["strategy"] == {"type": "Recreate"}
    # Kubernetes' least, of which Docker's two shares are made.
    assert container(shadow)["resources"]["requests"]["cpu"] == "2m"
    assert SERVICES["shadow"]["cpu_shares"] == 2


@every_service
def test_every_service_runs_the_same_image_and_command(name: str):
    only, service = container(ALL[name]), SERVICES[name]
    assert only["image"] == service["image"]
    said = {"command": service.get("entrypoint"), "args": service.get("command")}
    for key, words in said.items():
        assert only.get(key) == (words and [word.replace("$$", "$") for word in words]), key


@every_service
def test_every_service_has_the_same_variables(name: str):
    given = SERVICES[name].get("environment", {})
    has_settings = "OSTEO_PUBLIC_URL" in given
    only = container(ALL[name])
    (source,) = only.get("envFrom", []) or [None]
    assert (source is not None) is has_settings
    own = {variable["name"] for variable in only.get("env", [])}
    known = {*settings.NAMES, "AWS_DEFAULT_REGION"} - SECRET_OF.keys()
    assert own == set(given) - (known if has_settings else set())


@every_service
def test_every_service_has_the_secrets_of_its_role_and_no_others(name: str):
    given = SERVICES[name].get("environment", {})
    wanted = {variable for variable in given if SECRETS.search(variable)} - {"OSTEO_KEY_SECONDS"}
    has = secrets(ALL[name])
    assert set(has) == wanted
    account = f"s3-{ {'bucket': 'setup', 'shadow': 'inference'}.get(name, name) }"
    for variable, (secret, key) in has.items():
        if variable.startswith("AWS_"):
            assert (secret, key) == (account, variable)
        elif variable == "CELERY_BROKER_URL":
            assert (secret, key) == ("redis", "REDIS_URL")
        elif name not in STORES:
            assert (secret, key) == (SECRET_OF[variable], variable)
    optional = {
        variable["name"]
        for variable in container(ALL[name]).get("env", [])
        if variable.get("valueFrom", {}).get("secretKeyRef", {}).get("optional")
    }
    assert optional == wanted & OPTIONAL


def test_the_stores_are_given_what_the_roles_have():
    assert secrets(ALL["redis"]) == {"REDISCLI_AUTH": ("redis", "REDIS_PASSWORD")}
    assert secrets(ALL["seaweedfs"]) == {
        f"S3_{role.upper()}_SECRET": (f"s3-{role}", "AWS_SECRET_ACCESS_KEY") for role in (*ROLES, "setup")
    }


@pytest.mark.parametrize("name", MADE)
def test_every_setting_exists_and_is_no_secret(name: str):
    (made,) = (
        o for o in of_kind(build(MADE[name]), "ConfigMap") if o["metadata"]["name"].startswith("settings")
    )
    of_metrics = {"OSTEO_METRICS_PORT", "OSTEO_METRICS_ADDRESS"}
    of_the_operator = {"S3_ENDPOINT_URL", "S3_BUCKET", "AWS_DEFAULT_REGION", "OSTEO_PUBLIC_URL"}
    assert set(made["data"]) == of_the_operator | of_metrics
    assert set(made["data"]) <= {*settings.NAMES, "AWS_DEFAULT_REGION"}
    if name == "small":
        for setting in ("S3_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
            assert made["data"][setting] == SERVICES["api"]["environment"][setting]


@every_service
def test_every_service_has_the_same_user_and_rights(name: str):
    service, spec = SERVICES[name], pod(ALL[name])
    user = USERS.get(service["user"]) or tuple(int(number) for number in service["user"].split(":"))
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == user
    assert container(ALL[name])["securityContext"]["readOnlyRootFilesystem"] is service.get(
        "read_only", False
    )
    assert spec["shareProcessNamespace"] is service["init"]


@every_service
def test_every_service_has_the_same_memory_and_time_to_end(name: str):
    service, spec = SERVICES[name], pod(ALL[name])
    assert bytes_of(container(ALL[name])["resources"]["limits"]["memory"]) == bytes_of(service["mem_limit"])
    assert spec["terminationGracePeriodSeconds"] >= seconds_of(service.get("stop_grace_period", "10s"))


@every_service
def test_every_service_writes_to_the_same_places(name: str):
    service, spec = SERVICES[name], pod(ALL[name])
    places = {mount["mountPath"]: mount["name"] for mount in container(ALL[name])["volumeMounts"]}
    for entry in service["tmpfs"]:
        place, size = entry.split(":size=")
        (volume,) = (v for v in spec["volumes"] if v["name"] == places[place])
        assert volume["emptyDir"]["medium"] == "Memory"
        assert bytes_of(volume["emptyDir"]["sizeLimit"]) == bytes_of(size)
    others = {volume.split(":")[1] for volume in service.get("volumes", [])}
    assert set(places) == others | {entry.split(":")[0] for entry in service["tmpfs"]}


@every_service
def test_every_service_is_asked_the_same_how_it_is(name: str):
    """What Compose asks is the readiness here, but for the API: its readiness decides who gets requests."""
    if SERVICES[name].get("healthcheck") is None:
        return
    kind, *test = SERVICES[name]["healthcheck"]["test"]
    only = container(ALL[name])
    probe = only["startupProbe" if name == "api" else "readinessProbe"]
    if url := re.search(r"http://127\.0\.0\.1:(\d+)(/[\w/]*)", " ".join(test)):
        (port,) = (p for p in only["ports"] if p["name"] == probe["httpGet"]["port"])
        assert (port["containerPort"], probe["httpGet"]["path"]) == (int(url[1]), url[2])
    else:
        assert probe["exec"]["command"] == (["sh", "-c", *test] if kind == "CMD-SHELL" else test)
    if name in ("inference", "shadow", "delivery", "sweeper"):
        lenient = [*test, "--redis-may-be-down"]
        assert only["startupProbe"]["exec"]["command"] == only["livenessProbe"]["exec"]["command"] == lenient
        assert only["livenessProbe"]["periodSeconds"] == seconds_of(SERVICES[name]["healthcheck"]["interval"])
        assert only["livenessProbe"]["timeoutSeconds"] == seconds_of(SERVICES[name]["healthcheck"]["timeout"])
    start = only["startupProbe"]["periodSeconds"] * only["startupProbe"]["failureThreshold"]
    assert start >= seconds_of(SERVICES[name]["healthcheck"]["start_period"])


def test_a_store_that_is_down_restarts_nothing_and_removes_no_api():
    """/health/ready and a heartbeat depend on the stores."""
    for name, workload in ALL.items():
        if name in OURS and workload["kind"] == "Deployment":
            live = container(workload)["livenessProbe"]
            assert live.get("httpGet", {}).get("path") in ("/health/live", "/healthcheck") or (
                live["exec"]["command"][-1] == "--redis-may-be-down"
            )
    assert container(ALL["api"])["readinessProbe"]["httpGet"]["path"] == "/health/live"


def test_one_sweeper_runs_at_a_time():
    sweeper = named(build("base"), "Deployment", "sweeper")["spec"]
    assert (sweeper["replicas"], sweeper["strategy"]) == (1, {"type": "Recreate"})


def test_inference_asks_for_the_processors_that_were_measured():
    (cores,) = re.findall(
        r"One worker is .* on (two) cores", " ".join((ROOT / "docs/capacity.md").read_text().split())
    )
    requests = container(named(build("base"), "Deployment", "inference"))["resources"]["requests"]
    assert requests["cpu"] == {"two": "2"}[cores]


@pytest.mark.parametrize(
    ("copy", "original"),
    [("base/nginx.conf", "deploy/nginx.conf"), ("components/dev/s3.json", "deploy/s3.json")],
)
def test_files_that_kustomize_needs_in_its_folder_are_copies(copy: str, original: str):
    assert (FOLDER / copy).read_text() == (ROOT / original).read_text(), (
        f"cp {original} deploy/kubernetes/{copy}"
    )


def test_the_overlay_for_linuxone_is_docker_compose_linuxone_yml():
    made, base = workloads(build("overlays/s390x")), workloads(build("base"))
    for name, workload in made.items():
        assert pod(workload)["nodeSelector"] == {"kubernetes.io/arch": "s390x"}
        service = ON_LINUXONE.get(name) or {"image": ON_LINUXONE["api"]["image"]}
        assert container(workload)["image"] == service["image"]
        before = {v["name"] for v in container(base[name]).get("env", [])}
        added = [v for v in container(workload).get("env", []) if v["name"] not in before]
        assert added == ([{"name": "OSTEO_ENGINE", "value": "tensorflow"}] if name in ANALYSE else [])
    assert ON_LINUXONE["inference"]["environment"]["OSTEO_ENGINE"] == "tensorflow"
