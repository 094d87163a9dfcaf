"""Which settings a function reads, it and all that it uses, found in the source without running it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jobs

ROOT = Path(jobs.__file__).parents[1]
PACKAGES = ("api", "jobs", "worker", "admin")

Place = tuple[str, str]
"""A module's name, and that of what it defines: a function, a class or a constant."""


def settings_read_from(*starts: str) -> set[str]:
    """Return the fields of Settings that the definitions named `module:name`, and what they use, read.

    A read is an attribute of something named `settings`. What is used is followed by its name: a class counts
    with all its methods, so a field may be returned that a class reads for another user of it.
    Raises KeyError for a start that is not there.
    """
    waiting: list[Place] = [(module, name) for module, _, name in (start.partition(":") for start in starts)]
    followed, attributes = set(waiting), set()
    while waiting:
        module, name = waiting.pop()
        definition = _definitions(module)[name]
        attributes |= _attributes_of(definition, "settings")
        found = set(_used_by(definition, module)) - followed
        followed |= found
        waiting += found
    return _fields(attributes)


def settings_read_in(module: str) -> set[str]:
    """Return the fields of Settings that the module itself reads; what it uses is not followed."""
    return _fields(_attributes_of(_tree(module), "settings"))


def _fields(attributes: set[str]) -> set[str]:
    """The fields among these attributes of Settings; a method stands for those that it reads."""
    settings = _definitions("jobs.settings")["Settings"]
    assert isinstance(settings, ast.ClassDef)
    own = {
        node.target.id
        for node in settings.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    methods = {node.name: node for node in settings.body if isinstance(node, ast.FunctionDef)}
    by_methods = (_attributes_of(methods[name], "self") for name in attributes & methods.keys())
    return own & attributes.union(*by_methods)


def _attributes_of(node: ast.AST, owner: str) -> set[str]:
    """Return the attributes that `node` reads of a variable, or of an attribute, with the name `owner`."""
    read = (found for found in ast.walk(node) if isinstance(found, ast.Attribute))
    return {found.attr for found in read if ast.unparse(found.value).rpartition(".")[2] == owner}


def _used_by(node: ast.AST, module: str) -> Iterator[Place]:
    for found in ast.walk(node):
        if isinstance(found, ast.Name):
            yield from _resolved(module, found.id)
        elif isinstance(found, ast.Attribute) and isinstance(found.value, ast.Name):
            imported = _imports(module).get(found.value.id)
            if imported and _file(".".join(imported)):
                yield from _resolved(".".join(imported), found.attr)


def _resolved(module: str, name: str) -> Iterator[Place]:
    """Where `name` in `module` is defined, if that is in a package of ours."""
    if name in _definitions(module):
        yield module, name
    elif name in _imports(module) and _file(_imports(module)[name][0]):
        yield from _resolved(*_imports(module)[name])


@cache
def _definitions(module: str) -> dict[str, ast.stmt]:
    found: dict[str, ast.stmt] = {}
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


@cache
def _imports(module: str) -> dict[str, Place]:
    """What the names that the module imports stand for, those within its functions too."""
    statements = (node for node in ast.walk(_tree(module)) if isinstance(node, ast.ImportFrom))
    return {
        alias.asname or alias.name: (statement.module or "", alias.name)
        for statement in statements
        for alias in statement.names
    }


@cache
def _tree(module: str) -> ast.Module:
    file = _file(module)
    if file is None:
        raise KeyError(module)
    return ast.parse(file.read_text())


@cache
def _file(module: str) -> Path | None:
    """The file of a module of ours; None for others."""
    path = ROOT.joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.exists()), None) if module.split(".")[0] in PACKAGES else None
