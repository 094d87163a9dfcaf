"""What the client does while the service is away or busy."""

from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from jobs.record.job import now
from osteo_client import Busy, Problem, Unreachable
from osteo_client.exchange import SHORTEST_PAUSE
from stack.addresses import free_ports
from tests.api.conftest import Api
from tests.client.conftest import PNG, Door

BUSY = (
    503,
    {"Retry-After": "1", "Content-Type": "application/problem+json"},
    b'{"type": "/problems/queue-full"}',
)


@pytest.fixture
def through(connect: Callable[..., Any], door: Door, api: Api) -> Any:
    """A client that goes through the door."""
    return connect(door.url, api.key)


def test_a_busy_service_is_asked_again_when_it_says_and_not_before(through: Any, door: Door):
    door.treat = lambda n: BUSY if n == 1 else None
    assert through.submit(PNG).job.state == "queued"
    first, second = door.seen
    assert second.at - first.at >= 1
    assert first.body == second.body


def test_a_date_in_retry_after_is_kept_to(through: Any, door: Door):
    # Dates have whole seconds: this one is more than one second away.
    date = format_datetime(now() + timedelta(seconds=2.1), usegmt=True)
    door.treat = lambda n: (429, {"Retry-After": date}, b"") if n == 1 else None
    through.submit(PNG)
    first, second = door.seen
    assert second.at - first.at >= 1


def test_a_lost_answer_is_asked_for_again_with_the_same_key(through: Any, door: Door):
    door.treat = lambda n: "lose" if n == 1 else None
    through.submit(PNG)
    first, second = (request.headers["idempotency-key"] for request in door.seen)
    assert first == second
    through.submit(PNG)
    assert door.seen[-1].headers["idempotency-key"] != first


def test_patience_ends_at_once_where_the_service_asks_for_more(
    connect: Callable[..., Any], door: Door, api: Api
):
    door.treat = lambda n: (429, {"Retry-After": "900"}, b"")
    with pytest.raises(Busy) as caught:
        connect(door.url, api.key).submit(PNG)
    assert (caught.value.status, caught.value.retry_after) == (429, 900)
    assert len(door.seen) == 1


def test_a_service_that_does_not_answer_is_unreachable(connect: Callable[..., Any]):
    (port,) = free_ports(1)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 does not answer"):
        connect(f"http://127.0.0.1:{port}", "key", patience=SHORTEST_PAUSE * 1.5).submit(PNG)


def test_an_error_that_stays_is_not_repeated(through: Any, door: Door):
    door.treat = lambda n: (500, {}, b"")
    with pytest.raises(Problem, match="500"):
        through.submit(PNG)
    assert len(door.seen) == 1


def test_a_proxy_without_a_reason_is_named(connect: Callable[..., Any], door: Door):
    door.treat = lambda n: (502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>")
    with pytest.raises(Busy, match="Bad Gateway, and gave no reason"):
        connect(door.url, "key", patience=0).submit(PNG)
