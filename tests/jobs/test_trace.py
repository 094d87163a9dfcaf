import logging

import pytest

from jobs.trace import continue_trace, log_with_trace, name_trace, trace_id

TRACE = "4bf92f35" * 4
GIVEN = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "given", [GIVEN, f"cc-{TRACE}-00f067aa0ba902b7-01", f"cc-{TRACE}-00f067aa0ba902b7-01-more"]
)
def test_a_trace_is_continued_with_a_span_of_our_own(given):
    ours = continue_trace(given)
    assert (ours[:36], ours[-3:]) == (f"00-{TRACE}-", "-01")
    assert "00f067aa0ba902b7" not in ours
    assert trace_id(ours) == TRACE


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "00",
        f"{GIVEN}-more",
        GIVEN.upper(),
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{GIVEN}\n",
    ],
)
def test_a_header_without_a_valid_trace_begins_a_new_one(given):
    first, second = continue_trace(given), continue_trace(given)
    assert len(first) == len(GIVEN)
    assert trace_id(first) not in (trace_id(second), TRACE)
    assert trace_id(continue_trace(first)) == trace_id(first)


def test_a_log_record_names_its_trace():
    inside, outside = (logging.makeLogRecord({}) for _ in range(2))
    with log_with_trace(GIVEN):
        assert name_trace(inside)
    assert name_trace(outside)
    assert inside.trace == TRACE
    assert not hasattr(outside, "trace")
