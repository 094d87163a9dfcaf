"""Moments of events, to the nanosecond, and the pictures of a clock that is wrong."""

from dataclasses import replace

import pytest

from jobs.targets.freshness import freshness_of, moment_ns
from tests.conftest import a_job


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


@pytest.mark.parametrize(
    ("ahead_s", "later_s", "reason"),
    [
        (-5, 0, None),
        (0.9, 0, None),
        (600, 0, "acquired_in_future"),
        (600, 605, "acquired_in_future"),
        (1.1, 60, "acquired_in_future"),
        (-5, 301, "too_old"),
    ],
)
def test_a_picture_from_after_its_submission_is_never_fresh(ahead_s: float, later_s: float, reason: str):
    job = a_job()
    submitted_s = job.created_at.timestamp()
    dated = replace(job, acquisition={"geometry": {"acquired_at_s": submitted_s + ahead_s}})
    fresh = freshness_of(dated, round((submitted_s + later_s) * 10**9), 300)
    assert fresh.reason == reason
