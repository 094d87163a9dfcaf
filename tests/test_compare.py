"""docs/compare.md claims nothing for us that no test shows."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/compare.md").read_text()
LINK = re.compile(r"\]\(([^)#\s]+)(?:#(\w+))?\)")
NOT_YET = "**not yet**"


def rows() -> list[list[str]]:
    """The cells of each feature's row: its name, ours, and theirs."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_of_our_cells_is_linked_to_a_test_or_says_not_yet():
    assert len(rows()) > 10
    for name, ours, *theirs in rows():
        assert "../tests/" in ours or ours.startswith(NOT_YET), name
        assert len(theirs) == 5, name


def test_every_test_that_is_linked_to_is_there():
    for target, test in LINK.findall(PAGE):
        if target.startswith("https://"):
            continue
        file = ROOT / "docs" / target
        assert file.exists(), target
        if test:
            tree = ast.parse(file.read_text())
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert test in names, f"{target} has no {test}"
        else:
            assert file.suffix != ".py", f"name the test in {target}"
