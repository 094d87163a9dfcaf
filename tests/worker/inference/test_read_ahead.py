"""What is read before its attempt is recorded: one small radiograph of a first attempt at a time."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Event, Timer, get_ident

import numpy as np
import pytest

from jobs.record.errors import StoreUnavailable
from jobs.record.job import Job, now
from model.decode.image import Radiograph
from model.errors import NoDecoder
from tests.conftest import a_job, await_that
from worker.inference.read_ahead import MOST_BYTES, ReadAhead

RADIOGRAPH = Radiograph(np.zeros((64, 64), np.uint8), "PNG", 0.0, "")
LONG = 60.0


def first_attempt(**image) -> Job:
    job = a_job()
    return replace(job, image=replace(job.image, **image)).started("inference:here:1", now())


class Reading:
    """Reads a radiograph when it is asked to, and records in which thread."""

    def __init__(self) -> None:
        self.thread = 0
        self.begun = Event()

    def __call__(self) -> Radiograph:
        self.thread = get_ident()
        self.begun.set()
        return RADIOGRAPH


def read_at_once(ahead: ReadAhead, job: Job) -> bool:
    """Whether this job is read before its radiograph is asked for."""
    reading = Reading()
    with ahead.of(job, reading) as radiograph:
        assert radiograph() is RADIOGRAPH
    return reading.thread != get_ident()


def test_a_radiograph_is_read_before_it_is_asked_for():
    reading = Reading()
    with ReadAhead().of(first_attempt(), reading) as radiograph:
        assert reading.begun.wait(LONG)
        assert radiograph() is RADIOGRAPH


@pytest.mark.parametrize("missing", [StoreUnavailable("away"), NoDecoder("none is free")])
@pytest.mark.parametrize("early", [True, False])
def test_what_was_missing_before_it_was_asked_for_is_read_again(missing: Exception, early: bool):
    outcomes, ahead, asked = [missing, RADIOGRAPH], ReadAhead(), Event()

    def reading() -> Radiograph:
        assert early or asked.wait(LONG)
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with ahead.of(first_attempt(), reading) as radiograph:
        if early:
            ahead._thread.submit(int).result()  # The thread has read, and is free.
            assert radiograph() is RADIOGRAPH
        else:
            Timer(0.05, asked.set).start()
            with pytest.raises(type(missing)):
                radiograph()


def test_while_one_job_is_at_work_another_reads_in_its_own_thread():
    ahead = ReadAhead()
    with ahead.of(first_attempt(), Reading()):
        assert not read_at_once(ahead, first_attempt())


def test_once_a_job_is_over_the_next_one_is_read_ahead_also_after_an_error():
    ahead = ReadAhead()

    def fail() -> Radiograph:
        raise OSError("the store is away")

    with suppress(OSError), ahead.of(first_attempt(), fail) as radiograph:
        radiograph()
        pytest.fail("what the reading raised was not raised again")
    await_that(lambda: read_at_once(ahead, first_attempt()))


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, attempts=2),
        lambda job: replace(job, image=replace(job.image, size=MOST_BYTES + 1)),
        lambda job: replace(job, image=replace(job.image, width=1, height=MOST_BYTES + 1)),
    ],
    ids=["second attempt", "large file", "large picture"],
)
def test_what_may_end_the_worker_is_not_read_ahead(change: Callable[[Job], Job]):
    assert not read_at_once(ReadAhead(), change(first_attempt()))
