"""The time of an acquisition whose file names no zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from api.intake.acquisition_time import in_utc

BERLIN = ZoneInfo("Europe/Berlin")
TUBE = {"source_to_detector_m": 1.1}


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()


def in_berlin(moment: str) -> float | None:
    known = in_utc({"view": "PA", "geometry": TUBE | {"acquired_local_s": seconds(moment)}}, BERLIN)
    assert known["view"] == "PA"
    assert "acquired_local_s" not in known["geometry"]
    assert known["geometry"] | {"acquired_at_s": 0} == TUBE | {"acquired_at_s": 0}
    return known["geometry"].get("acquired_at_s")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-11-28T20:26:00.123456", "2026-11-28T19:26:00.123456"),
        ("2026-07-01T00:30:00", "2026-06-30T22:30:00"),
        ("2026-10-25T01:59:59", "2026-10-24T23:59:59"),
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00"),
        ("2026-03-29T01:59:59", "2026-03-29T00:59:59"),
        ("2026-03-29T03:00:00", "2026-03-29T01:00:00"),
    ],
)
def test_a_local_time_is_read_by_the_zone_in_summer_and_winter(local: str, utc: str):
    assert in_berlin(local) == pytest.approx(seconds(utc), abs=1e-6)


@pytest.mark.parametrize("local", ["2026-10-25T02:00:00", "2026-10-25T02:59:59"])
def test_a_time_that_the_change_of_clocks_repeats_is_unknown(local: str):
    assert in_berlin(local) is None


@pytest.mark.parametrize("local", ["2026-03-29T02:00:00", "2026-03-29T02:59:59"])
def test_a_time_that_the_change_of_clocks_leaves_out_is_unknown(local: str):
    assert in_berlin(local) is None


def test_a_local_time_without_a_zone_is_not_kept():
    local = {"acquired_local_s": 1.5e9}
    assert in_utc({"view": "PA", "geometry": TUBE | local}, None) == {"view": "PA", "geometry": TUBE}
    assert in_utc({"geometry": local}, None) == {}


@pytest.mark.parametrize("known", [{}, {"view": "PA"}, {"geometry": {"acquired_at_s": 1.5e9}}])
def test_what_has_a_zone_or_no_time_is_as_it_was(known: dict):
    assert in_utc(known, BERLIN) == known
