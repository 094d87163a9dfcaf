"""Describes what readers send: findings, drafts, reports to sign, and reasons."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from jobs.reading.report import Measurements, Report, Site

_CODE = {"pattern": "^[0-9]{6}$"}


class Finding(TypedDict):
    """A finding to commit."""

    finding: Literal["fracture", "no_fracture", "not_sure", "not_diagnostic"]
    sites: NotRequired[list[Site]]
    measurements: NotRequired[Measurements]


class Draft(TypedDict):
    """The draft of a report: any of its members."""

    draft: Annotated[dict[str, Any], "As far as it is written. It is not checked."]


class Signature(TypedDict):
    """A report to sign."""

    report: Report
    code: Annotated[str, _CODE, "The reader's one-time code."]
    grade: NotRequired[
        Annotated[
            Literal["1", "2a", "2b", "3a", "3b"],
            "The model's answer by RADPEER; from 2b on another reader decides.",
        ]
    ]


class Amendment(TypedDict):
    """A later version of a signed report."""

    report: Report
    code: Annotated[str, _CODE, "The reader's one-time code."]
    reason: Annotated[str, {"minLength": 1, "maxLength": 500}, "Why it is amended."]


class ReturnOrder(TypedDict):
    """Why a reading goes back to its client."""

    reason: Literal["not_diagnostic", "wrong_side", "other_view"]
    text: NotRequired[Annotated[str, {"maxLength": 500}]]
