"""Defines the report of a reading: the finding, where it lies, and the reader's words."""

import json
import re
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from jobs.reading.measurement import Measurement, checked_measurement, in_pixels
from jobs.record.job import ImageFacts

FINDINGS = ("fracture", "no_fracture", "not_sure", "not_diagnostic")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
MOST_TEXT, MOST_ADVICE, MOST_SITES, MOST_MEASUREMENTS = 4000, 500, 20, 20
MOST_DRAFT = 32 * 1024
"""In bytes of JSON."""


class ReportInvalid(ValueError):
    """This is no report. The message says what to correct."""


class Site(TypedDict):
    """Where a fracture lies, as the reader marked it."""

    box: NotRequired[
        Annotated[
            list[float],
            {"minItems": 4, "maxItems": 4},
            "x, y, width, height in pixels of the submitted image; a site has a box or a point.",
        ]
    ]
    point: NotRequired[
        Annotated[list[float], {"minItems": 2, "maxItems": 2}, "x, y in pixels of the submitted image."]
    ]
    bone: NotRequired[Annotated[str, {"maxLength": 64}, "The bone, in the reader's words."]]


Measurements = Annotated[list[Measurement], {"maxItems": MOST_MEASUREMENTS}, "What the reader has measured."]


class Found(TypedDict):
    """What a reader has found."""

    finding: Annotated[
        Literal["fracture", "no_fracture", "not_sure", "not_diagnostic"],
        "`not_diagnostic`: the radiograph allows no answer.",
    ]
    sites: Annotated[list[Site], {"maxItems": MOST_SITES}, "Where the fractures lie."]
    measurements: NotRequired[Measurements]


class Report(Found):
    """A report. Its text goes to those who read the report, and never into a callback."""

    text: Annotated[str, {"maxLength": MOST_TEXT}]
    urgent: bool
    advice: Annotated[str, {"maxLength": MOST_ADVICE}, "What to do next."]


def checked_report(
    given: dict[str, Any], image: ImageFacts, acquisition: dict[str, Any] | None = None
) -> Report:
    """Return the report that is `given` for an image, with every member. Raises ReportInvalid.

    `acquisition` is what the source says of the image.
    """
    text, advice = words(given.get("text")), words(given.get("advice"))
    if len(text) > MOST_TEXT or len(advice) > MOST_ADVICE:
        raise ReportInvalid(f"`text` takes {MOST_TEXT} characters at most, `advice` {MOST_ADVICE}")
    found = checked_finding(given, image, acquisition)
    return {**found, "text": text, "urgent": bool(given.get("urgent")), "advice": advice}


def checked_finding(
    given: dict[str, Any], image: ImageFacts, acquisition: dict[str, Any] | None = None
) -> Found:
    """Return the finding, the sites and the measurements that are `given`, as `checked_report` does."""
    finding, sites = given.get("finding"), given.get("sites") or []
    measurements = given.get("measurements") or []
    if finding not in FINDINGS:
        raise ReportInvalid(f"`finding` is one of {', '.join(FINDINGS)}")
    if len(sites) > MOST_SITES:
        raise ReportInvalid(f"`sites` takes {MOST_SITES} at most")
    if sites and finding not in ("fracture", "not_sure"):
        raise ReportInvalid("a report has sites where its finding is `fracture` or `not_sure`")
    if len(measurements) > MOST_MEASUREMENTS:
        raise ReportInvalid(f"`measurements` takes {MOST_MEASUREMENTS} at most")
    try:
        found: Found = {"finding": finding, "sites": [_site(site, image) for site in sites]}
        if measurements:
            found["measurements"] = [checked_measurement(one, image, acquisition) for one in measurements]
    except (TypeError, ValueError) as error:
        raise ReportInvalid(str(error)) from error
    return found


def checked_draft(given: dict[str, Any]) -> dict[str, Any]:
    """Return the draft of a report. Raises ReportInvalid for one that is too large, or is no Unicode."""
    try:
        size = len(json.dumps(given, ensure_ascii=False).encode())
    except (UnicodeEncodeError, ValueError) as error:
        raise ReportInvalid("the draft has text that is no Unicode, or a number that is too long") from error
    if size > MOST_DRAFT:
        raise ReportInvalid(f"a draft takes {MOST_DRAFT} bytes at most")
    return given


def canonical(value: Any) -> bytes:
    """Return JSON in one form: members sorted, without spaces, UTF-8. Its SHA-256 stands for the value.

    Of a checked report it is the form of RFC 8785, which programs in other languages make as well.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def words(text: object) -> str:
    """Return text of a person with line feeds as its only control characters, as DICOM and FHIR take it.

    Raises ReportInvalid for what is not Unicode.
    """
    kept = _CONTROL.sub(" ", "\n".join(str(text or "").splitlines())).strip()
    try:
        kept.encode()
    except UnicodeEncodeError as error:
        raise ReportInvalid("a text has half of a surrogate pair, and is no Unicode") from error
    return kept


def _site(site: dict[str, Any], image: ImageFacts) -> Site:
    if ("box" in site) == ("point" in site):
        raise ReportInvalid("a site has either a `box` or a `point`")
    numbers = [in_pixels(number) for number in site.get("box") or site.get("point") or ()]
    if len(numbers) != (4 if "box" in site else 2):
        raise ReportInvalid("a `box` has x, y, width and height, and a `point` has x and y")
    x, y, *size = numbers
    width, height = size or (0.0, 0.0)
    inside = x >= 0 and y >= 0 and x + width <= image.width and y + height <= image.height
    if not inside or (size and not (width > 0 and height > 0)):
        raise ReportInvalid(f"a site lies in the image, which has {image.width} x {image.height} pixels")
    checked: Site = {"box": numbers} if size else {"point": numbers}
    if bone := words(site.get("bone")):
        checked["bone"] = bone[:64]
    return checked
