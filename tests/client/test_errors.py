"""Errors of the client survive pickling, as processes hand them on, and say what is wrong."""

import copy
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import osteo_client
from osteo_client import Client, Job, JobFailed, OsteoError, Problem
from osteo_client.job import JobError
from tests.client.conftest import PNG

JOB = Job(
    id="job_1",
    state="failed",
    delivery="none",
    reference=None,
    own_id=None,
    metadata=None,
    priority="routine",
    created_at=datetime(2026, 11, 28, tzinfo=UTC),
    started_at=None,
    finished_at=None,
    attempts=1,
    queue_position=None,
    error=JobError("not-a-radiograph", "It is a photograph."),
    result=None,
    document={},
)


def errors() -> Iterator[OsteoError]:
    """One of each kind that the package exports."""
    for name in osteo_client.__all__:
        kind = getattr(osteo_client, name)
        if isinstance(kind, type) and issubclass(kind, Problem):
            yield kind(429, {"type": "/problems/x", "detail": "Later."}, 7.0)
        elif kind is JobFailed:
            yield JobFailed(JOB)
        elif isinstance(kind, type) and issubclass(kind, OsteoError):
            yield kind("Something is wrong.")


@pytest.mark.parametrize("handed_on", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("error", list(errors()), ids=lambda error: type(error).__name__)
def test_every_error_is_the_same_in_another_process(error: OsteoError, handed_on: Callable[[Any], Any]):
    again = handed_on(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("text", ["besök-17", "a\nb", "\x7f"])
def test_an_idempotency_key_that_no_header_can_carry_is_refused(client: Any, text: str):
    with pytest.raises(ValueError, match=r"the idempotency key holds .* at place \d"):
        client.submit(PNG, idempotency_key=text)


def test_an_api_key_that_no_header_can_carry_is_refused(connect: Callable[..., Any]):
    with pytest.raises(ValueError, match=r"the API key holds '.u2026' at place 7"):
        connect("https://osteo.example", "osteo_…")
    Client("https://osteo.example", " osteo_a\n").close()  # as a file's last line has it
