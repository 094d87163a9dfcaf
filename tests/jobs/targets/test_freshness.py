"""Moments of events, to the nanosecond."""

import pytest

from jobs.targets.freshness import moment_ns


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
def test_a_moment_without_a_zone_is_refused(text: str):
    with pytest.raises(ValueError, match=r"zone|isoformat"):
        moment_ns(text)
