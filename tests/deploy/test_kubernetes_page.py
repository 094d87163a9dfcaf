"""What docs/deploy.md says of Kubernetes works as printed, as far as it goes without a cluster."""

import os
import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.compose.test_compose_files import OPTIONAL
from tests.deploy.manifests import (
    BUILDS,
    FOLDER,
    ROOT,
    Object,
    build,
    container,
    kubectl,
    of_kind,
    secrets,
    strings,
    workloads,
)
from tests.deploy.rules import RULES

SECTION = (ROOT / "docs/deploy.md").read_text().split("\n## On Kubernetes\n")[1].split("\n## ")[0]
MAKE, CREATE = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
OVERLAY, _ = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
EXAMPLES = re.compile(r"\bexample\.org|\b192\.0\.2\.")
"""What stands in the base for addresses that the operator sets."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The Secrets that the commands of the page make, by a kubectl that asks no cluster."""
    folder = tmp_path_factory.mktemp("operator")
    stand_in = folder / "bin/kubectl"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\n[ "$1" = create ] || exit 0\necho ---\nexec {kubectl()} "$@" --dry-run=client -o yaml\n'
    )
    stand_in.chmod(0o755)
    path = f"{stand_in.parent}:{os.environ['PATH']}"
    said = ""
    for block in (MAKE, CREATE):
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        said += ran.stdout
    files = list((folder / "var/secrets").iterdir())
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    return [o for o in yaml.safe_load_all(said) if o]


def test_the_secrets_of_the_page_are_those_that_the_parts_want(made: list[Object]):
    assert {o["metadata"]["namespace"] for o in made} == {"osteo-synergy"}
    there = {(o["metadata"]["name"], key) for o in made for key in o["data"]}
    parts = workloads(build("overlays/small")).values()
    assert there == {
        reference
        for workload in parts
        for name, reference in secrets(workload).items()
        if name not in OPTIONAL
    }
    assert (FOLDER / "base/namespace.yaml").exists()
    assert "kubectl apply -f deploy/kubernetes/base/namespace.yaml\n" in CREATE


def test_the_secrets_of_the_page_fit_each_other_and_are_new(made: list[Object]):
    values = {(o["metadata"]["name"], k): b64decode(v).decode() for o in made for k, v in o["data"].items()}
    password = values["redis", "REDIS_PASSWORD"]
    assert values["redis", "REDIS_URL"] == f"redis://:{password}@redis:6379/0"
    accounts = {value for (_, key), value in values.items() if key == "AWS_ACCESS_KEY_ID"}
    assert all(f'"{account}"' in (FOLDER / "components/dev/s3.json").read_text() for account in accounts)
    drawn = [
        value for (_, key), value in values.items() if key in ("AWS_SECRET_ACCESS_KEY", "OSTEO_SIGNING_KEY")
    ]
    assert len({*drawn, password}) == 7
    assert all(len(value) == 64 for value in drawn)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """What the overlay of the page makes."""
    copy = tmp_path_factory.mktemp("copy") / "kubernetes"
    shutil.copytree(FOLDER, copy)
    overlay: Path = copy / "overlays/here/kustomization.yaml"
    assert f"`deploy/{overlay.relative_to(copy.parent)}`:" in SECTION
    overlay.parent.mkdir()
    overlay.write_text(OVERLAY)
    return build("overlays/here", copy)


def test_the_overlay_of_the_page_sets_all_that_must_be_set(here: list[Object]):
    assert any(EXAMPLES.search(text) for text in strings(outside_receivers(build("overlays/keda"))))
    assert [text for text in strings(outside_receivers(here)) if EXAMPLES.search(text)] == []
    images = {container(workload)["image"] for workload in workloads(here).values()}
    assert {image.partition("/")[0] for image in images if "osteo" in image} == {"registry.clinic.example"}
    # The very patches that the page shows have something to change.
    assert {o["metadata"]["name"] for o in of_kind(here, "ScaledObject")} == {"inference"}


def outside_receivers(objects: list[Object]) -> list[Object]:
    """Without the policy that names networks which no callback may reach, those of examples among them."""
    return [o for o in objects if (o["kind"], o["metadata"]["name"]) != ("NetworkPolicy", "receivers")]


def test_the_overlay_of_the_page_keeps_every_rule(here: list[Object]):
    for rule in RULES:
        assert list(rule(here)) == []
    for made in here:
        if made["kind"] != "ScaledObject":
            kubernetes_validate.validate(made, "1.37", strict=True)


def test_the_page_names_every_folder():
    named = re.findall(r"^\| `((?:base|overlays|components)[\w/]*)` \|", SECTION, re.MULTILINE)
    assert set(named) == {
        path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("kustomization.yaml")
    }
    assert {*BUILDS, *(f"components/{name}" for name in ("dev", "monitoring", "traces"))} == set(named)


def test_the_page_says_that_no_cluster_has_run_it():
    assert "never been applied to a cluster" in SECTION
