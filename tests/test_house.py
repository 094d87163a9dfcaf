"""The layout of the house: which folder may import which, and what must not be loaded where."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("admin", "api", "jobs", "worker", "model", "training", "stack", "client")
MAY_IMPORT = {
    "admin": {"admin", "api", "jobs", "worker"},
    "api": {"api", "jobs", "model.decoding", "model.errors", "model.prediction", "model.regions"},
    "jobs": {"jobs"},
    "worker": {"worker", "jobs", "model"},
    "model": {"model"},
    "training": {"training", "model"},
    "stack": {"stack"},
    "client": {"osteo_client"},
}
PACKAGES = {*HOUSE, "osteo_client"} - {"client"}
"""The names that are imported: the client is a distribution of its own, and its folder is no package."""
WORDS_TO_AVOID = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def modules(folder: str) -> Iterator[Path]:
    return (ROOT / folder).rglob("*.py")


def imported_by(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            # `from model import image` imports model.image.
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module in PACKAGES)


@pytest.mark.parametrize("folder", HOUSE)
def test_imports_run_one_way(folder: str):
    allowed = MAY_IMPORT[folder]
    for module in modules(folder):
        for name in imported_by(module):
            if name.partition(".")[0] in PACKAGES:
                inside = any(name == start or name.startswith(f"{start}.") for start in allowed)
                package_alone = any(start.startswith(f"{name}.") for start in allowed)
                assert inside or package_alone, f"{module.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("module", ["api.app", "worker.roles", "worker.sweep", "worker.deliver", "stack.up"])
def test_only_inference_loads_tensorflow(module: str):
    code = f"import sys, {module}; sys.exit(bool({{'tensorflow', 'keras'}} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("folder", HOUSE)
def test_every_module_says_where_it_stands_and_has_a_telling_name(folder: str):
    for module in modules(folder):
        assert ast.get_docstring(ast.parse(module.read_text())), f"{module} has no docstring"
        assert module.stem not in WORDS_TO_AVOID


def test_every_folder_of_tests_is_a_package():
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_every_test_that_the_threat_model_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"
