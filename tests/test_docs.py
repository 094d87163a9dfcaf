"""Every link between pages leads to a file, and to a heading or test in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md"])
CODE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text())):
        file, _, anchor = target.partition("#")
        if not re.match(r"[a-z]+:", target):
            there = page.parent / file if file else page
            assert there.exists(), target
            if anchor and there.suffix == ".py":
                assert f"def {anchor}(" in there.read_text(), target
            elif anchor:
                assert anchor in anchors_of(there), target


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda page: page.stem[:4]
)
def test_every_decision_begins_with_what_was_decided(page: Path):
    title, blank, decision = page.read_text().split("\n")[:3]
    assert title.startswith(f"# {int(page.stem[:4])}. ")
    assert not blank
    assert decision.startswith("*Decision:* ")
