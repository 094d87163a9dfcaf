"""Reports: what is one, and the single form in which its signature covers it."""

import json
import re

import pytest

from jobs.reading.report import ReportInvalid, canonical, checked_report
from jobs.record.job import ImageFacts

IMAGE = ImageFacts(sha256="0" * 64, width=128, height=96, format="PNG", size=1)


def checked(**given: object) -> dict:
    return {**checked_report({"finding": "fracture", **given}, IMAGE)}


def test_whole_pixels_are_whole_numbers_and_others_have_three_decimals():
    sites = [{"box": [1.0, 2, 3.00001, 4.12345]}, {"point": [1e-9, 7.5]}]
    assert canonical(checked(sites=sites)["sites"]) == b'[{"box":[1,2,3,4.123]},{"point":[0,7.5]}]'


def test_another_language_makes_the_same_canonical_form():
    """Programs with one kind of number write whole ones without a point, by RFC 8785."""
    report = checked(sites=[{"point": [3.0, 7.5]}], text="Bruch, \u00fcber 2 \u00b0")
    text = canonical(report).decode()
    assert not re.search(r"\d\.0\b|\de", text)
    assert canonical(json.loads(text, parse_float=float)) == canonical(report)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("a\x00b\x1b$Bc\td\x85e\u2028f\x9b", "a b $Bc d\ne\nf"),
        (" \n a\u00a0b \n", "a\u00a0b"),
        ("\u6a48\u9aa8 \U0001f9b4", "\u6a48\u9aa8 \U0001f9b4"),
    ],
)
def test_words_keep_line_feeds_as_their_only_control_characters(given: str, kept: str):
    report = checked(text=given, advice=given, sites=[{"point": [1, 1], "bone": given}])
    assert (report["text"], report["advice"], report["sites"][0]["bone"]) == (kept, kept, kept)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text": "a\ud800"}, "no Unicode"),
        ({"advice": "\udfff"}, "no Unicode"),
        ({"sites": [{"point": [10**400, 1]}]}, "too large"),
        ({"sites": [{"point": [float("nan"), 1]}]}, "lies in the image"),
        ({"text": "x" * 4001}, "4000"),
    ],
)
def test_what_cannot_be_signed_is_refused(given: dict, said: str):
    with pytest.raises(ReportInvalid, match=said):
        checked(**given)
