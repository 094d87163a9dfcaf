"""By how much this machine's clock differs from the service's, by real answers with `Date`."""

import time

import pytest

from robot.clock import ServiceClock
from tests.robot.peers import Service


@pytest.fixture
def clock(service: Service) -> ServiceClock:
    return ServiceClock(service.url)


@pytest.mark.parametrize("ahead_s", [0, 30, -30])
def test_one_answer_tells_the_offset_to_a_second(service: Service, clock: ServiceClock, ahead_s: int):
    service.ahead_s = ahead_s
    clock.compare()
    offset_s = clock.offset_s()
    assert offset_s is not None
    assert abs(offset_s + ahead_s) < 1
    assert clock.agrees() is (ahead_s == 0)


def test_several_answers_tell_the_offset_more_exactly(clock: ServiceClock):
    start, wall_s = time.monotonic(), time.time()
    for tenth in range(10):
        at = start + tenth * 0.1
        clock.told(float(int(wall_s + 0.7 + tenth * 0.1)), at, at + 0.01)
    offset_s = clock.offset_s()
    assert offset_s is not None
    assert abs(offset_s + 0.7) < 0.1


def test_a_step_of_our_clock_shows_at_once(clock: ServiceClock, monkeypatch: pytest.MonkeyPatch):
    clock.compare()
    assert clock.agrees()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 5)
    assert not clock.agrees()


def test_a_step_of_the_service_s_clock_makes_earlier_answers_void(service: Service, clock: ServiceClock):
    clock.compare()
    service.ahead_s = 60
    clock.compare()
    assert not clock.agrees()
    service.ahead_s = 0
    clock.compare()
    assert clock.agrees()


def test_a_comparison_does_not_last(clock: ServiceClock, monkeypatch: pytest.MonkeyPatch):
    clock.compare()
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 21)
    assert clock.offset_s() is None
    assert not clock.agrees()


@pytest.mark.parametrize(
    ("status", "headers"), [(200, {"Age": "1"}), (503, {}), (200, {"Date": "yesterday"})]
)
def test_an_answer_of_a_cache_or_a_failure_compares_nothing(
    service: Service, clock: ServiceClock, status: int, headers: dict[str, str]
):
    service.status, service.headers = status, headers
    clock.compare()
    assert clock.offset_s() is None


def test_a_service_that_does_not_answer_compares_nothing(service: Service, clock: ServiceClock):
    service.close()
    clock.compare()
    assert clock.offset_s() is None
