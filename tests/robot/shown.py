"""Events of targets that transports are tested with: the document that docs/robots.md shows, changed."""

import json
import re
from pathlib import Path
from typing import Any

from robot.event import VerifiedTargets, verified_targets

_PAGE = (Path(__file__).parents[2] / "docs/robots.md").read_text()


def document(actionable: bool = True, **changed: Any) -> dict[str, Any]:
    """The document of the page, with its target actionable or not."""
    (shown,) = re.findall(r"<!-- Targets -->\n```json\n(.*?)```", _PAGE, re.DOTALL)
    made = json.loads(shown)
    if actionable:
        reviewed = {"state": "reviewed", "actionable": True, "blocking_reasons": []}
        made |= reviewed
        made["targets"] = [target | reviewed for target in made["targets"]]
    return made | changed


def event(actionable: bool = True, **changed: Any) -> VerifiedTargets:
    """The event of that document, as a receiver has verified it."""
    data = document(actionable, **changed)
    about = {"id": "msg_1", "subject": data["job"], "type": "org.osteo.targets.v1"}
    return verified_targets(json.dumps({**about, "data": data}).encode(), None)
