"""docs/linuxone.md and the files for LinuxONE agree with the locks, the graph and the other images."""

import re
import subprocess
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import onnx
import pytest
import yaml

from jobs import settings
from jobs.store.objects import Objects
from tests.compose import test_compose_files

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs/linuxone.md").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.linuxone.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy/linuxone.Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
FROM_DEBIAN = (ROOT / "deploy/linuxone.packages").read_text().split()
WHEEL, IBM, COMPILED, NOT_THERE, NOT_NEEDED = "wheel", "IBM's image", "compiled", "not there", "–"
ITS_OWN = {"image", "build", "networks", "environment", "depends_on"}
"""What a service may have of its own here; all else is that of docker-compose.yml, and held by its tests."""


def locked(name: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / f"deploy/{name}.lock").read_text(), re.MULTILINE))


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the first table below this heading, by their first cell."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in re.findall(r"^\|.*", section, re.M)
    ]
    return {first.strip("`"): rest for first, *rest in rows[2:]}


SOURCES = table("Where every package comes from")


def test_the_table_names_every_package_of_the_locks_and_no_other():
    assert set(SOURCES) == locked("light") | locked("inference")


def test_the_light_image_takes_each_package_from_where_the_table_says():
    light, pure = locked("light"), locked("linuxone")
    assert pure <= light
    for package, (source, _) in SOURCES.items():
        if package not in light:
            assert source == NOT_NEEDED, package
        elif package in pure:
            assert source == WHEEL, package
        elif package in {"highdicom", "imagecodecs", "pyapriltags", "pyjpegls"}:
            assert source == NOT_THERE, (
                "only medicine's own formats and the detector of markers may be missing"
            )
        else:
            debian = re.match(r"Debian's `(\S+)`", source)
            assert debian, f"{package} is neither a wheel nor Debian's"
            assert debian[1] in FROM_DEBIAN


def test_the_inference_image_takes_each_package_from_where_the_table_says():
    inference, pure = locked("inference"), locked("linuxone")
    allowed = {IBM, COMPILED, NOT_THERE}
    for package, (_, source) in SOURCES.items():
        if package not in inference:
            assert source == NOT_NEEDED, package
        else:
            assert (source == WHEEL) if package in pure else (source in allowed), package
    assert [package for package, (_, source) in SOURCES.items() if source == COMPILED] == ["pillow"]
    assert {SOURCES[name][1] for name in ("tensorflow", "numpy", "keras", "h5py")} == {IBM}


def test_the_table_of_operators_is_that_of_the_bundled_graph():
    graph = onnx.load(ROOT / "model/bundle/graph.onnx", load_external_data=False)
    counted = Counter(node.op_type for node in graph.graph.node)
    written = {name: int(count) for name, (count, *_) in table("zDLC").items()}
    assert written == counted
    assert f"opset {graph.opset_import[0].version}" in GUIDE


def test_services_differ_from_the_other_file_in_image_network_and_store():
    assert set(SERVICES) == set(test_compose_files.SERVICES) - {"seaweedfs", "bucket"}
    for name, service in SERVICES.items():
        other = test_compose_files.SERVICES[name]
        assert drop(service) == drop(other), name
        assert set(service.get("depends_on", {})) == set(other.get("depends_on", {})) - {"seaweedfs"}


def drop(service: dict) -> dict:
    return {key: value for key, value in service.items() if key not in ITS_OWN}


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_is_known_and_every_secret_required(name: str):
    environment = SERVICES[name].get("environment", {})
    assert set(environment) <= {*settings.NAMES, *test_compose_files.KNOWN_ELSEWHERE, "NNPA_DEVICES"}
    for variable, value in environment.items():
        if test_compose_files.SECRETS.search(variable) and variable not in {
            "OSTEO_KEY_SECONDS",
            *test_compose_files.OPTIONAL,
        }:
            assert re.search(r"\$\{[A-Z0-9_]+:\?[^}]+\}", value), f"{variable} must be required"
    # With what those of the other file have, role by role.
    extra = {"NNPA_DEVICES"} if name in ("inference", "shadow") else set()
    assert set(environment) == set(test_compose_files.SERVICES[name].get("environment", {})) | extra


def test_the_example_names_every_required_value_and_gives_none():
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?", COMPOSE_TEXT))
    example = (ROOT / ".env.linuxone.example").read_text()
    assert dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", example, re.MULTILINE)) == dict.fromkeys(required, "")


def test_no_image_is_without_s390x():
    outside = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - STAGES.keys()
    assert outside == {"debian:13.3-slim", "${IBM_TENSORFLOW}"}
    assert {service["image"] for service in SERVICES.values() if "build" not in service} == {
        "redis:8.4.0-alpine",
        "nginx:1.28.0-alpine",
    }


def test_redis_is_reached_from_inside_only():
    assert SERVICES["redis"]["networks"] == ["queue"]
    assert COMPOSE["networks"]["queue"]["internal"]
    assert all(
        port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", [])
    )


def test_ibms_image_is_required_and_has_no_default_tag():
    assert re.search(r"^ARG IBM_TENSORFLOW$", DOCKERFILE, re.MULTILINE)
    for service in SERVICES.values():
        if "build" in service:
            assert service["build"]["args"]["IBM_TENSORFLOW"].startswith("${IBM_TENSORFLOW:?")
    assert not re.search(r"accelerated-for-tensorflow:[0-9]", DOCKERFILE + COMPOSE_TEXT + GUIDE)


def test_the_images_run_unprivileged_and_copy_what_exists():
    assert {
        SERVICES[name]["build"]["target"] for name in SERVICES if "build" in SERVICES[name]
    } <= STAGES.keys()
    for target in ("light", "inference"):
        assert STAGES[target].rindex("USER osteo") > STAGES[target].rfind("USER root")
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all(list(ROOT.glob(path)) for path in copied.split()), f"{copied} does not exist"
    let_through = (ROOT / ".dockerignore").read_text()
    assert all(
        f"!deploy/{name}\n" in let_through for name in ("*.lock", "linuxone.packages", "linuxone_check.py")
    )


def test_ibms_tensorflow_and_numpy_stay_as_they_are():
    inference = STAGES["inference"]
    assert not {"tensorflow", "numpy", "keras"} & locked("linuxone")
    assert inference.count("pip install") == inference.count("pip install --target /opt/osteo --no-deps") == 2
    assert "PATH=/opt/venv/bin:$PATH" in inference
    assert SERVICES["inference"]["environment"]["OSTEO_ENGINE"] == "tensorflow"
    # Without a value Compose hands the variable on only where the operator has set it.
    assert SERVICES["inference"]["environment"]["NNPA_DEVICES"] is None


def test_tensorflow_says_at_start_what_it_hands_to_the_accelerator():
    assert "TF_CPP_MIN_LOG_LEVEL=0" in STAGES["inference"]
    assert "TF_CPP_VMODULE=remapper=1" in STAGES["inference"]


def test_pillow_is_compiled_from_what_the_lock_names():
    cut = re.search(r"(sed -n .* /tmp/light.lock \| sed \S+) >", DOCKERFILE)
    assert cut
    command = cut[1].replace("/tmp/", "deploy/")
    lines = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    assert lines[0].startswith("pillow==")
    assert all(line.startswith("    --hash=sha256:") for line in lines[1:])
    assert not lines[-1].endswith("\\")


@pytest.mark.parametrize("kind", ["request_checksum_calculation", "response_checksum_validation"])
def test_checksums_go_along_only_where_the_object_store_demands_them(kind: str, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    objects = Objects.connect("https://s3.example", "bucket")
    assert getattr(objects._client.meta.config, kind) == "when_required"


@pytest.fixture
def check() -> ModuleType:
    spec = spec_from_file_location("linuxone_check", ROOT / "deploy/linuxone_check.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("alone", "chosen", "seen"),
    [
        (["loading zdnn"], ["loading zdnn", "zDNN: conv2d", "remapper.cc: Conv2D"], True),
        (["loading zdnn"], ["loading zdnn"], False),
        ([], ["remapper.cc: Conv2D"], False),
    ],
)
def test_the_check_sees_offload_only_where_zdnn_says_more_than_without(check, alone, chosen, seen):
    offload = check.offloaded({"processor": alone, "as TensorFlow chooses": chosen})
    assert offload["seen"] is seen
    assert ("NOT OFFLOADED" in offload["in words"]) is not seen


def test_the_check_says_how_far_answers_and_findings_differ(check):
    alone = {"findings": ["fracture", "no_fracture"], "scores": [0.9, 0.1], "cells": [[0.5], [0.0]]}
    chosen = {"findings": ["fracture", "indeterminate"], "scores": [0.9, 0.4], "cells": [[0.4], [0.0]]}
    differences = check.differences(alone, chosen)
    assert differences["findings that differ"] == 1
    assert differences["largest difference of scores"] == pytest.approx(0.3)
    assert differences["largest difference of cells"] == pytest.approx(0.1)
