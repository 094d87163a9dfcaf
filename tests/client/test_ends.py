"""What a client does with a job beyond its result: wait without polling, send twice, cancel, delete."""

import time
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from admin.keys import Keys
from jobs.record.job import now
from osteo_client import AlreadyEnded, Gone, KeyReused
from tests import pictures
from tests.api.conftest import Api
from tests.client.conftest import PNG, Door, Worker

OTHER_PNG = pictures.encoded(255 - pictures.gray())


@pytest.fixture
def through(connect: Callable[..., Any], door: Door, api: Api) -> Any:
    """A client of this test's own that goes through the door."""
    return connect(door.url, Keys(api.records).create(f"ends-{time.monotonic_ns()}"))


def test_waiting_is_one_question_that_the_service_holds(through: Any, door: Door, worker: Worker):
    handle = through.submit(PNG)
    asked_again: list[bool] = []

    def end_it_once_asked() -> None:
        door.await_requests(2, 30)
        # Two polls would come within this time.
        asked_again.append(door.await_requests(3, 1))
        worker.succeed(handle.id)

    ending = Thread(target=end_it_once_asked)
    ending.start()
    assert handle.wait().state == "succeeded"
    ending.join()
    assert asked_again == [False]
    assert door.seen[1].headers["prefer"] == "wait=25"


def test_an_answer_that_was_lost_makes_no_second_job(through: Any, door: Door):
    door.treat = lambda n: "lose" if n == 1 else None
    handle = through.submit(PNG)
    assert [job.id for job in through.jobs()] == [handle.id]


def test_a_key_of_ones_own_holds_across_clients_and_for_one_image(through: Any):
    handle = through.submit(PNG, idempotency_key="visit-17")
    assert through.submit(PNG, idempotency_key="visit-17").id == handle.id
    with pytest.raises(KeyReused):
        through.submit(OTHER_PNG, idempotency_key="visit-17")


def test_a_job_is_canceled_once_and_says_so(through: Any, door: Door):
    handle = through.submit(PNG)
    door.treat = lambda n: "lose" if n == 2 else None
    assert handle.cancel().state == "canceled"
    assert handle.wait().state == "canceled"
    assert handle.cancel().state == "canceled"


def test_a_job_may_have_a_deadline_and_a_retention_of_its_own(through: Any, worker: Worker):
    handle = through.submit(PNG, deadline_seconds=60, retention_seconds=3600)
    job = worker.job(handle.id)
    assert ((job.expires_at - job.created_at).seconds, job.retention_seconds) == (60, 3600)


def test_what_has_ended_is_not_canceled(through: Any, worker: Worker):
    handle = through.submit(PNG)
    worker.succeed(handle.id)
    with pytest.raises(AlreadyEnded):
        handle.cancel()
    assert handle.job.state == "succeeded"


def test_a_deleted_job_is_gone_and_may_be_deleted_again(through: Any, door: Door):
    handle = through.submit(PNG)
    door.treat = lambda n: "lose" if n == 2 else None
    handle.delete()
    handle.delete()
    with pytest.raises(Gone):
        handle.refresh()
    with pytest.raises(Gone):
        through.job(handle.id)


def test_jobs_are_listed_by_reference_and_time(through: Any):
    begun = now()
    first = through.submit(PNG, reference="visit-1")
    second = through.submit(PNG, reference="visit-2")

    def listed(**filters: Any) -> list[str]:
        return [handle.id for handle in through.jobs(**filters)]

    assert listed(reference="visit-1") == [first.id]
    assert listed(created_after=begun - timedelta(seconds=1)) == [second.id, first.id]
    assert listed(created_before=begun - timedelta(seconds=1)) == []
