"""The layout: which folder may import which, how many modules it has, and how things are named."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("admin", "api", "jobs", "worker", "model", "training", "stack", "robot", "client", "benchmarks")
MAY_IMPORT = {
    "admin": {"admin", "api.identity", "jobs", "model.bundle", "model.decode_processes", "model.errors"},
    "api": {
        "api",
        "jobs",
        "model.decode_processes",
        "model.errors",
        "model.heat_layer",
        "model.library_logs",
        "model.overlay",
        "model.prediction",
        "model.regions",
    },
    "jobs": {"jobs"},
    "worker": {"worker", "jobs", "model"},
    "model": {"model"},
    "training": {"training", "model"},
    "stack": {"stack"},
    "robot": {"robot", "jobs.logs", "jobs.record", "jobs.settings", "jobs.targets", "jobs.trace"},
    "client": {"osteo_client"},
}
"""What the modules of each top-level folder may import of the project."""
ORDERS = (
    (
        *("api.http", "api.identity", "api.openapi", "api.intake", "api.results", "api.callbacks"),
        "api.routes",
        *("api.ar", "api.readings", "api.reading_room", "api.server"),
    ),
    (
        "jobs.geometry",
        "jobs.record",
        "jobs.callbacks",
        "jobs.redis",
        "jobs.s3",
        "jobs.store",
        "jobs.web_push",
        "jobs.reading",
        "jobs.models",
        "jobs.targets",
        "jobs.lifecycle",
    ),
    ("worker.delivery", "worker.notices"),
    ("worker.inference", "worker.rollout"),
    (
        "training.run",
        "training.data",
        "training.network",
        "training.batches",
        "training.evaluation",
        "training.evaluation.external",
        "training.radiograph_check",
        "training.quantisation",
    ),
    ("model.decode.headers", "model.decode", "model.decode_processes"),
)
"""Folders in their order: a module of one may import its own folder and those before it, none behind it."""
PURE = ("jobs.record", "jobs.geometry")
"""Folders whose modules do no input or output."""
INPUT_OR_OUTPUT = {"redis", "boto3", "botocore", "celery", "kombu", "flask", "socket", "subprocess"}
PACKAGES = {*TOP, "osteo_client"} - {"client"}
"""The names that are imported: the client is a distribution of its own, and its folder is no package."""
MOST_MODULES = 20
LONGEST_TEST_NAME = 70
WORDS_TO_AVOID = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def modules(folder: str) -> list[Path]:
    """Every module of a folder. A folder that is missing, or was renamed, fails."""
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"{folder} has no module: name the folder that has taken its place"
    return found


@cache
def imported_by(module: Path) -> frozenset[str]:
    return frozenset(imports_of(module))


def imports_of(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            folder = (ROOT / node.module.replace(".", "/")).is_dir()
            # `from model import bundle` imports model.bundle.
            yield from (f"{node.module}.{alias.name}" for alias in node.names if folder)


def within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}.")


def name_of(module: Path) -> str:
    return ".".join(module.relative_to(ROOT).with_suffix("").parts)


def is_definition(statement: ast.stmt) -> bool:
    """Whether a statement of a module defines names, and calls nothing for its effect alone."""
    match statement:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=targets):
            return all(isinstance(target, ast.Name | ast.Tuple) for target in targets)
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Compare(left=ast.Name(id="__name__"))):
            return True
    definitions = (ast.AnnAssign, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(statement, (ast.Import, ast.ImportFrom, *definitions))


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_run_one_way_between_top_level_folders(folder: str):
    allowed = MAY_IMPORT[folder]
    for module in modules(folder):
        for name in imported_by(module):
            if name.partition(".")[0] in PACKAGES:
                inside = any(within(name, start) for start in allowed)
                package_alone = any(start.startswith(f"{name}.") for start in allowed)
                assert inside or package_alone, f"{module.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order[-1])
def test_imports_run_one_way_between_folders_of_a_package(order: tuple[str, ...]):
    def room(name: str) -> int | None:
        """The place in the order of the innermost of its folders that the name lies in."""
        return max(
            (place for place, folder in enumerate(order) if within(name, folder)),
            key=lambda place: len(order[place]),
            default=None,
        )

    for place, folder in enumerate(order):
        for module in modules(folder.replace(".", "/")):
            if room(name_of(module)) == place:
                for name in imported_by(module):
                    of = room(name)
                    assert of is None or of <= place, f"{module.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("folder", PURE)
def test_a_pure_folder_does_no_input_or_output(folder: str):
    for module in modules(folder.replace(".", "/")):
        loaded = {name.partition(".")[0] for name in imported_by(module)}
        assert not loaded & INPUT_OR_OUTPUT, module


def test_the_top_of_training_has_commands_alone():
    for module in (ROOT / "training").glob("*.py"):
        assert module.stem == "__init__" or 'if __name__ == "__main__":' in module.read_text(), module


@pytest.mark.parametrize("folder", [*TOP, "tests", "deploy"])
def test_no_folder_has_more_than_twenty_modules(folder: str):
    for path in {module.parent for module in modules(folder)}:
        held = [module for module in path.glob("*.py") if module.stem != "__init__"]
        assert len(held) <= MOST_MODULES, f"{path.relative_to(ROOT)} holds {len(held)} modules"


@pytest.mark.parametrize("folder", TOP)
def test_every_folder_has_a_docstring_of_one_sentence(folder: str):
    for path in {module.parent for module in modules(folder)}:
        if path != ROOT / "client":
            said = ast.get_docstring(ast.parse((path / "__init__.py").read_text())) or ""
            assert said.split("\n\n")[0].endswith("."), f"{path} has no docstring"


@pytest.mark.parametrize("folder", [folder for folder in TOP if folder != "client"])
def test_the_architecture_page_lists_each_folder_with_its_sentence(folder: str):
    page = (ROOT / "docs/architecture.md").read_text()
    for path in {module.parent for module in modules(folder)} - {ROOT / "benchmarks/rivals"}:
        said = (ast.get_docstring(ast.parse((path / "__init__.py").read_text())) or "").split("\n\n")[0]
        name = path.relative_to(ROOT).as_posix()
        assert re.search(
            rf"^\| (\*\*)?`{name}/`(\*\*)? \| {re.escape(' '.join(said.split()))} \|$", page, re.M
        ), name


@pytest.mark.parametrize("folder", TOP)
def test_an_import_runs_no_statement_but_definitions(folder: str):
    for module in modules(folder):
        if not module.name.endswith(".conf.py"):  # what gunicorn and Flower read to configure themselves
            for statement in ast.parse(module.read_text()).body:
                assert is_definition(statement), f"{module.relative_to(ROOT)}, line {statement.lineno}"


@pytest.mark.parametrize("module", ["admin.keys", "api.app", "worker.roles", "stack.up"])
def test_only_inference_loads_tensorflow(module: str):
    code = f"import sys, {module}; sys.exit(bool({{'tensorflow', 'keras'}} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_inference_worker_loads_no_decoder():
    """Its decode processes do. pydicom alone would take a sixth of what a start imports."""
    modules = "worker.__main__, worker.inference.analyse, worker.inference.decoders, worker.rollout.loader"
    code = f"import sys, {modules}; sys.exit(bool({{'pydicom', 'model.decode.raster'}} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("folder", TOP)
def test_every_module_has_a_docstring_and_a_telling_name(folder: str):
    for module in modules(folder):
        assert ast.get_docstring(ast.parse(module.read_text())), f"{module} has no docstring"
        assert module.stem not in WORDS_TO_AVOID


@pytest.mark.parametrize("folder", TOP)
def test_annotations_are_written_in_one_style(folder: str):
    for module in modules(folder):
        assert "__future__" not in imported_by(module), f"{module}: quote what is not yet defined"


def test_only_routes_and_hooks_use_the_request_context_of_flask():
    """`flask.g` is read and written in these folders and two modules alone; others take a Caller."""
    folders = ("api/ar", "api/callbacks", "api/routes", "api/readings", "api/reading_room")
    allowed = {ROOT / "api/hooks.py", ROOT / "api/audited.py"}
    allowed |= {module for folder in folders for module in modules(folder)}
    for module in set(modules("api")) - allowed:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "flask":
                assert "g" not in {alias.name for alias in node.names}, module.relative_to(ROOT)
            else:
                assert not isinstance(node, ast.Attribute) or ast.unparse(node) != "flask.g", module


def test_every_test_has_a_name_of_at_most_70_characters():
    for module in modules("tests"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                length = len(node.name)
                assert length <= LONGEST_TEST_NAME, (
                    f"{module.relative_to(ROOT)}, line {node.lineno}: {length}"
                )


def test_every_text_names_the_component_that_acts():
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(m for top in TOP for m in modules(top)),
    ]:
        found = re.search(r"\b(whoever|nobody|somebody)\b", path.read_text(), re.IGNORECASE)
        assert not found, f"{path.relative_to(ROOT)}: {found} does not name who acts"


def test_every_folder_of_tests_is_a_package():
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_every_test_that_the_threat_model_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"


def test_every_name_that_a_test_imports_of_the_project_exists() -> None:
    """mypy does not read the tests, and the suite does not run those of tests/s390x."""
    missing = [
        f"{module.relative_to(ROOT)}:{node.lineno} {node.module}.{alias.name}"
        for module in modules("tests")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.split(".")[0] in {*PACKAGES, "tests"}
        for alias in node.names
        if not exists(node.module, alias.name)
    ]
    assert not missing


def exists(module: str, name: str) -> bool:
    """Whether a module of the project has a name, or a folder a module of that name, without importing it."""
    path = (ROOT / "client" if module.startswith("osteo_client") else ROOT).joinpath(*module.split("."))
    if path.joinpath(f"{name}.py").exists() or path.joinpath(name).is_dir():
        return True
    source = path.with_suffix(".py")
    source = source if source.exists() else path.joinpath("__init__.py")
    return source.exists() and name in bound_by(source)


@cache
def bound_by(source: Path) -> frozenset[str]:
    """Return every name that a module binds. Hundreds of imports ask for those of the same modules."""
    return frozenset(names_of(ast.parse(source.read_text())))


def names_of(tree: ast.Module) -> Iterator[str]:
    """Yield every name that a module binds, in its functions, too. No import is run."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                for alias in names:
                    yield alias.asname or alias.name
