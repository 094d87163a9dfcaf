"""Times of an event, and what remains of its validity."""

import json

import pytest

from robot.event import moment_ns, targets_event
from tests.robot.events import CLIENT, an_event


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01.000000001Z", 1_000_000_001),
        ("2026-11-23T11:59:40.123456789Z", 1_795_435_180_123_456_789),
        ("2026-11-23T12:59:40.123456789+01:00", 1_795_435_180_123_456_789),
        ("2026-11-23T06:59:40.5004-05:00", 1_795_435_180_500_400_000),
        ("2026-11-23T11:59:40Z", 1_795_435_180_000_000_000),
    ],
)
def test_a_moment_is_read_to_the_nanosecond(text: str, ns: int):
    assert moment_ns(text) == ns


@pytest.mark.parametrize("text", ["", "soon", "2026-11-23", "2026-11-23T11:59:40"])
def test_a_moment_without_its_zone_is_none(text: str):
    with pytest.raises(ValueError, match=r".*"):
        moment_ns(text)


def test_the_validity_that_remains_ends_at_zero():
    event = targets_event(json.dumps(an_event(valid_s=10)).encode(), CLIENT, None)
    assert event.valid_until_ns is not None
    assert event.remaining_s(event.valid_until_ns - 10**9) == 1
    assert event.remaining_s(event.valid_until_ns + 10**9) == 0
    unknown = targets_event(json.dumps(an_event(valid_s=None)).encode(), CLIENT, None)
    assert unknown.remaining_s(0) == 0
