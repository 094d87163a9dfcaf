"""The rules and dashboards of deploy/monitoring, as tests read them."""

import re
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import yaml

from stack.part import ROOT

FOLDER = ROOT / "deploy/monitoring"


def rules() -> list[dict[str, Any]]:
    """Every rule of rules/osteo.yml, of all groups."""
    groups = yaml.safe_load((FOLDER / "rules/osteo.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def generated() -> dict[str, str]:
    """The text of each dashboard by the name of its file, as dashboards.py writes it."""
    spec = spec_from_file_location("dashboards", FOLDER / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: module.text_of(dashboard) for name, dashboard in module.dashboards().items()}


def expressions(document: object) -> Iterator[str]:
    """Every expression of a dashboard."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "expr":
                yield value
            else:
                yield from expressions(value)
    elif isinstance(document, list):
        for value in document:
            yield from expressions(value)


def metrics_in(expression: str) -> set[str]:
    """The names of this service's metrics in an expression; what a rule records is none."""
    return set(re.findall(r"\bosteo_\w+", expression))
