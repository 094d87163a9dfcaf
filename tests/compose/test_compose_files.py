"""docker-compose.yml and deploy/Dockerfile agree with the code and publish no port but the proxy's."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import settings
from jobs.redis import queue
from worker.roles import QUEUES_OF_ROLE

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ROUTED_TO = {queue.INFER_STAT, queue.INFER_ROUTINE, queue.INFER_ARCHIVE, queue.DELIVER}
KNOWN_ELSEWHERE = {
    "AWS_ACCESS_KEY_ID",  # boto3 and SeaweedFS
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "CELERY_BROKER_URL",
    "FLOWER_BASIC_AUTH",
    "REDISCLI_AUTH",
    *(f"S3_{role}_SECRET" for role in ("API", "INFERENCE", "DELIVERY", "SWEEPER", "SETUP")),
}
SECRETS = re.compile(r"PASSWORD|SECRET|KEY|AUTH|TOKEN|REDIS_URL|BROKER_URL|SMTP_URL")
NO_SECRETS = {"AWS_ACCESS_KEY_ID", "OSTEO_KEY_SECONDS"}
OPTIONAL = {"OSTEO_SMTP_URL", "OSTEO_OIDC_CLIENT_SECRET"}
"""Secrets without which the service runs."""
every_service = pytest.mark.parametrize("name", SERVICES)
RUNNING = [name for name, service in SERVICES.items() if service.get("profiles") != ["setup"]]
"""All but the step that makes the bucket."""
ROLES = ("api", "inference", "delivery", "sweeper")
S3_ACCOUNT = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def roles() -> set[str]:
    return {
        service["command"][3]
        for service in SERVICES.values()
        if service.get("command", [])[:3] == ["python", "-m", "worker"]
    }


def test_every_part_of_the_service_is_there() -> None:
    assert set(SERVICES) >= {"api", "flower", "redis", "seaweedfs"}
    assert roles() == {*QUEUES_OF_ROLE, "shadow"}


def test_a_shadow_is_inference_with_another_command_and_starts_when_asked() -> None:
    shadow, inference = SERVICES["shadow"], SERVICES["inference"]
    its_own = {"profiles", "command", "healthcheck", "cpu_shares"}
    assert {key: value for key, value in shadow.items() if key not in its_own} == {
        key: value for key, value in inference.items() if key not in its_own
    }
    assert shadow["profiles"] == ["shadow"]
    # Docker's least: the kernel's lowest priority counts among the processes of one container alone.
    assert shadow["cpu_shares"] == 2
    assert all("cpu_shares" not in service for name, service in SERVICES.items() if name != "shadow")


def test_every_queue_that_code_routes_to_is_consumed_by_a_service() -> None:
    consumed = {name for role in roles() for name in QUEUES_OF_ROLE.get(role, ())}
    assert consumed == ROUTED_TO
    assert set(queue.QUEUE_OF_PRIORITY.values()) <= ROUTED_TO


@every_service
def test_every_setting_that_a_service_is_given_exists(name: str) -> None:
    assert set(SERVICES[name].get("environment", {})) <= {*settings.NAMES, *KNOWN_ELSEWHERE}


@pytest.mark.parametrize("name", [*ROLES, "shadow"])
def test_every_role_is_given_every_setting_that_is_no_secret(name: str) -> None:
    given = SERVICES[name]["environment"]
    secret = {"OSTEO_SIGNING_KEY", *OPTIONAL}
    assert set(settings.NAMES) - given.keys() <= secret
    for variable in set(settings.NAMES) - {"S3_ENDPOINT_URL", "REDIS_URL", *secret}:
        assert f"${{{variable}:-" in given[variable], f"{variable} must come from the environment"


def test_every_service_has_the_secrets_that_it_needs_and_no_others() -> None:
    needed = {
        "api": {*S3_ACCOUNT, "REDIS_URL", "OSTEO_SIGNING_KEY", "OSTEO_OIDC_CLIENT_SECRET"},
        "inference": {*S3_ACCOUNT, "REDIS_URL"},
        "shadow": {*S3_ACCOUNT, "REDIS_URL"},
        "delivery": {*S3_ACCOUNT, "REDIS_URL", "OSTEO_SIGNING_KEY", "OSTEO_SMTP_URL"},
        "sweeper": {*S3_ACCOUNT, "REDIS_URL"},
        "flower": {"CELERY_BROKER_URL", "FLOWER_BASIC_AUTH"},
        "bucket": S3_ACCOUNT,
        "proxy": set(),
        "redis": {"REDISCLI_AUTH"},
        "seaweedfs": {name for name in KNOWN_ELSEWHERE if name.startswith("S3_")},
    }
    assert needed == {
        name: {variable for variable in service.get("environment", {}) if SECRETS.search(variable)}
        - {"OSTEO_KEY_SECONDS"}
        for name, service in SERVICES.items()
    }


def test_the_s3_server_knows_the_account_of_each_role_with_its_own_secret(tmp_path: Path) -> None:
    """Runs the very script of the container, with a stand-in for the server."""
    service = SERVICES["seaweedfs"]
    (tmp_path / "weed").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n')
    (tmp_path / "weed").chmod(0o755)
    script = service["command"][0].replace("$$", "$").replace("/etc/osteo", str(ROOT / "deploy"))
    script = script.replace("/tmp/s3.json", f"{tmp_path}/s3.json").replace(
        "/usr/bin/weed", f"{tmp_path}/weed"
    )
    values = {name: f"value-of-{name}" for name in service["environment"]}
    subprocess.run([*service["entrypoint"], script], env={**os.environ, **values}, check=True)
    assert (tmp_path / "s3.json").stat().st_mode & 0o777 == 0o600
    assert "value-of" not in (tmp_path / "arguments").read_text(), "other users see command lines"
    accounts = json.loads((tmp_path / "s3.json").read_text())
    for name in (*ROLES, "bucket"):
        role = {"bucket": "setup"}.get(name, name)
        (account,) = (made for made in accounts["identities"] if made["name"] == f"osteo-{role}")
        environment = SERVICES[name]["environment"]
        assert environment["AWS_SECRET_ACCESS_KEY"].startswith(f"${{S3_{role.upper()}_SECRET:?")
        key = {
            "accessKey": environment["AWS_ACCESS_KEY_ID"],
            "secretKey": f"value-of-S3_{role.upper()}_SECRET",
        }
        assert account["credentials"] == [key]
    for policy in accounts["policies"]:
        for statement in json.loads(policy["content"])["Statement"]:
            assert all("arn:aws:s3:::value-of-S3_BUCKET" in place for place in statement["Resource"])


@every_service
def test_every_service_is_held_to_memory_processes_and_log_files(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 2048
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
    assert all(re.fullmatch(r"/tmp:size=\d+[mg]", place) for place in service["tmpfs"])


def test_flower_runs_as_its_configuration_says() -> None:
    assert "--conf=worker/flower.conf.py" in SERVICES["flower"]["command"]
    assert "--conf=worker/flower.conf.py" in (ROOT / "stack/parts.py").read_text()


@every_service
def test_every_image_has_a_pinned_tag(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.match(r"\d+\.\d+", tag)
    assert "bookworm" not in tag


def test_the_images_are_built_on_a_pinned_python_on_trixie() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(stages) == DOCKERFILE.count("\nFROM ")
    names = {name for _, name in stages}
    outside = [image for image, _ in stages if image not in names]
    assert outside
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-trixie", image) for image in outside)


def test_what_is_built_exists_and_runs_unprivileged() -> None:
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
    for name, service in OURS.items():
        build = service["build"]
        assert (ROOT / build["context"] / build["dockerfile"]).exists(), name
        assert "\nUSER osteo\n" in stages[build["target"]], name
    for copied in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert list(ROOT.glob(copied)), f"{copied} does not exist"


def test_only_the_inference_image_holds_the_bundle_and_tensorflow() -> None:
    light, inference = DOCKERFILE.split("AS light\n")[1].split("AS inference\n")
    assert "COPY model model" in inference
    assert "COPY model/*.py model/" in light
    assert "COPY model model" not in light
    assert "tensorflow==" in (ROOT / "deploy/inference.lock").read_text()
    assert "tensorflow==" not in (ROOT / "deploy/light.lock").read_text()
    assert {name for name in OURS if OURS[name]["build"]["target"] == "inference"} == {
        "inference",
        "shadow",
    }


@every_service
def test_every_service_runs_as_an_unprivileged_user(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in ("root", "0")
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")


@pytest.mark.parametrize("name", RUNNING)
def test_every_service_comes_back_and_says_how_it_is(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@every_service
def test_no_credential_has_a_literal_or_default_value(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if variable in OPTIONAL:
            assert value == f"${{{variable}:-}}"
        elif SECRETS.search(variable) and variable not in NO_SECRETS:
            assert re.search(r"\$\{[A-Z0-9_]+:\?[^}]+\}", value), f"{variable} must be required"
            assert not re.search(r"\$\{[A-Z0-9_]+:?-", value), f"{variable} must have no default"


@every_service
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_clients_reach_the_api_through_the_proxy_alone() -> None:
    assert "ports" not in SERVICES["api"]
    assert SERVICES["proxy"]["ports"] == ["127.0.0.1:${PORT:-8000}:8080"]
    assert SERVICES["proxy"]["depends_on"]["api"]["restart"], "nginx looks its address up once"
    (volume,) = SERVICES["proxy"]["volumes"]
    configuration = (ROOT / volume.partition(":")[0]).read_text()
    assert "server api:8000;" in configuration
    assert "listen 8080;" in configuration
    assert "proxy_request_buffering on;" in configuration


def test_the_stores_publish_no_port_and_reach_no_outside() -> None:
    for name in ("redis", "seaweedfs"):
        assert "ports" not in SERVICES[name]
        assert all(COMPOSE["networks"][network]["internal"] for network in SERVICES[name]["networks"])


def test_redis_keeps_what_it_is_given_and_drops_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "appendonly yes" in command
    assert "maxmemory-policy noeviction" in command
    assert "'maxmemory 2gb'" in command
    assert "requirepass" in command
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_the_example_names_every_required_value_and_gives_none() -> None:
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example == dict.fromkeys(required, "")
