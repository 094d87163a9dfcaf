"""Tests an analysis with a real ledger and queue. The model is a function of the test."""

import base64
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from threading import Event, Timer

import numpy as np
import pytest

from jobs.lifecycle.compare_and_set import change_job
from jobs.lifecycle.deletion import delete
from jobs.record.errors import StoreRefused, StoreUnavailable, TransientError
from jobs.record.ids import new_id
from jobs.record.job import Job, now
from jobs.record.states import Delivery, State
from jobs.redis.queue import DELIVER, INFER_ROUTINE
from jobs.trace import continue_trace, name_trace, trace_id
from model.decode.image import NotARadiograph, Radiograph, decode
from model.errors import NoDecoder
from model.image_warnings import ImageWarning
from model.prediction import OperatingPoints, Prediction
from model.regions import ScoredRegion
from tests import pictures
from tests.conftest import a_job, only_a_tombstone_is_left
from worker.inference.analyse import PAUSES, AnalysisContext, Attempt, analyse
from worker.inference.metrics import REGISTRY
from worker.inference.serial_analysis import SerialAnalysis
from worker.inference.watchdog import Watchdog
from worker.repeat import _with_jitter

PNG = pictures.encoded(pictures.gray())
PREDICTION = Prediction(
    "fracture",
    0.91,
    (ScoredRegion((1, 2, 3, 4), 0.8),),
    np.ones((8, 8), np.float32),
    (5, 6, 70, 80),
    "m 1",
    (ImageWarning("clipped", "Send it with another window."),),
    OperatingPoints(0.05118, 0.40597),
)


@dataclass
class Analyst:
    """The part of the model that an analysis needs, with an answer of the test."""

    name: str = "osteo-test"
    version: str = "1"
    sha256: str = "f" * 64
    digest: str = "d" * 64
    refusal: Exception | None = None
    answer: Callable[[Radiograph], Prediction] = lambda _: PREDICTION
    seen: list[Radiograph] = field(default_factory=list)

    def refuse_unless_gray(self, radiograph: Radiograph) -> None:
        self.seen.append(radiograph)
        if self.refusal:
            raise self.refusal

    def predict(self, radiograph: Radiograph) -> Prediction:
        return self.answer(radiograph)

    def __call__(self, _: Job) -> "AbstractContextManager[Analyst]":
        """The model of any job."""
        return nullcontext(self)


def answering(answer: Prediction | Exception):
    def predict(_: Radiograph) -> Prediction:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return predict


def counted(name: str, **labels: str) -> float:
    """What this process has counted."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def decoded(data: bytes, client: str) -> Radiograph:
    return decode(data)


@pytest.fixture
def analysis(ledger, queue) -> AnalysisContext:
    stopping = Event()
    return AnalysisContext(
        *(ledger, queue, Analyst(), decoded, "inference:here:1", 3, Watchdog(60)),
        *(SerialAnalysis(stopping), stopping, lambda _: None),
    )


def accepted(ledger, image: bytes = PNG, **changes) -> Job:
    job = a_job(**changes)
    job = replace(job, image=replace(job.image, size=len(image)))
    ledger.accept(job, image)
    return job


def test_what_the_worker_logs_of_a_job_names_its_trace(analysis, ledger, caplog):
    caplog.set_level("INFO")
    caplog.handler.addFilter(name_trace)
    job = accepted(ledger, traceparent=continue_trace(None))
    try:
        analyse(job.id, analysis)
    finally:
        caplog.handler.removeFilter(name_trace)
    (line,) = [record for record in caplog.records if record.message == "job succeeded"]
    assert line.trace == trace_id(job.traceparent)


def test_a_radiograph_gets_its_result_and_its_place_in_the_next_queue(analysis, ledger, redis):
    job = accepted(ledger, callback_url="https://clinic.example/")
    analyse(job.id, analysis)
    done = ledger.read(job.id)
    assert (done.state, done.attempts, done.runner) == (State.SUCCEEDED, 1, "inference:here:1")
    assert done.result["probability"] == 0.91
    assert done.result["regions"] == [{"box": [1, 2, 3, 4], "score": 0.8}]
    assert done.result["field"] == [5, 6, 70, 80]
    assert done.result["operating_points"] == {"low": 0.0512, "high": 0.406}
    assert done.result["warnings"] == [{"type": "clipped", "detail": "Send it with another window."}]
    assert done.result["model"] == {
        "name": "osteo-test",
        "version": "1",
        "sha256": "f" * 64,
        "bundle": "d" * 64,
    }
    assert base64.b64decode(done.heat) == b"\xff" * 64
    assert redis.llen(DELIVER) == 1
    assert list(ledger.pending()) == [job.id], "its callback is still to be delivered"


def test_the_radiograph_of_a_first_attempt_is_read_while_it_is_recorded(analysis, ledger, monkeypatch):
    job, is_read, put_new = accepted(ledger), Event(), ledger.objects.put_new

    def read(data: bytes, client: str) -> Radiograph:
        is_read.set()
        return decode(data)

    def put_once_it_is_read(key: str, body: bytes) -> None:
        assert is_read.wait(60)
        put_new(key, body)

    monkeypatch.setattr(ledger.objects, "put_new", put_once_it_is_read)
    analyse(job.id, replace(analysis, decode=read))
    assert ledger.read(job.id).state is State.SUCCEEDED


def test_a_result_is_counted_with_its_warnings_and_its_times(analysis, ledger):
    series = {
        ("osteo_results_total", "finding", "fracture", "bundle", "d" * 64): 1,
        ("osteo_warnings_total", "type", "clipped"): 1,
        ("osteo_job_queue_seconds_count", "priority", "routine"): 1,
        ("osteo_job_queue_seconds_sum", "priority", "routine"): pytest.approx(100, abs=10),
        ("osteo_job_queue_seconds_bucket", "le", "60.0", "priority", "routine"): 0,
        ("osteo_job_queue_seconds_bucket", "le", "300.0", "priority", "routine"): 1,
        ("osteo_job_analysis_seconds_count",): 1,
        ("osteo_result_probability_bucket", "le", "0.9", "bundle", "d" * 64): 0,
        ("osteo_result_probability_bucket", "le", "0.95", "bundle", "d" * 64): 1,
    }

    def figures() -> dict[tuple[str, ...], float]:
        return {key: counted(key[0], **dict(zip(key[1::2], key[2::2], strict=True))) for key in series}

    before = figures()
    analyse(accepted(ledger, queued_at=now() - timedelta(seconds=100)).id, analysis)
    after = figures()
    assert {key: after[key] - before[key] for key in series} == series


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"refusal": NotARadiograph("Send an X-ray.")}, {"not-a-radiograph": 1}),
        ({"answer": answering(RuntimeError("out of memory"))}, {"broken": 1}),
        ({"answer": answering(StoreUnavailable("away"))}, {}),
    ],
)
def test_a_refusal_and_a_broken_attempt_are_counted_apart(analysis, ledger, change, counts):
    def figures() -> dict[str, float]:
        return {
            "not-a-radiograph": counted("osteo_refusals_total", type="not-a-radiograph"),
            "broken": counted("osteo_attempts_broken_total"),
            "result": counted("osteo_result_probability_count", bundle="d" * 64),
        }

    before = figures()
    with suppress(StoreUnavailable):
        analyse(accepted(ledger).id, replace(analysis, model_of=Analyst(**change)))
    after = figures()
    assert {name: after[name] - before[name] for name in before if after[name] > before[name]} == counts


def test_where_the_source_gives_a_spacing_regions_are_in_millimetres_too(analysis, ledger):
    acquisition = {"laterality": "L", "pixel_spacing": [0.5, 0.1], "spacing_plane": "detector"}
    job = accepted(ledger, acquisition=acquisition)
    analyse(job.id, analysis)
    result = ledger.read(job.id).result
    assert result["regions"] == [{"box": [1, 2, 3, 4], "score": 0.8, "box_mm": [0.1, 1.0, 0.3, 2.0]}]
    assert result["image"].items() >= acquisition.items()


def test_without_a_callback_nothing_is_left_to_do(analysis, ledger, redis):
    job = accepted(ledger)
    analyse(job.id, analysis)
    assert ledger.read(job.id).delivery is Delivery.NONE
    assert list(ledger.pending()) == []
    assert redis.llen(DELIVER) == 0


def test_a_second_message_for_the_same_job_does_nothing(analysis, ledger):
    job = accepted(ledger)
    analyse(job.id, analysis)
    analyse(job.id, analysis)
    assert len(analysis.model_of.seen) == 1
    assert ledger.read(job.id).attempts == 1


def test_a_message_for_a_job_that_does_not_exist_is_dropped(analysis):
    analyse(new_id("job"), analysis)
    assert analysis.model_of.seen == []


def test_a_job_that_comes_up_after_its_deadline_expires(analysis, ledger, redis):
    job = accepted(ledger, callback_url="https://clinic.example/", expires_at=now() - timedelta(seconds=1))
    analyse(job.id, analysis)
    done = ledger.read(job.id)
    assert (done.state, done.attempts, done.error["type"]) == (State.EXPIRED, 0, "expired")
    assert analysis.model_of.seen == []
    assert redis.llen(DELIVER) == 1, "its client hears of it"


def test_an_image_that_is_no_radiograph_ends_failed_with_a_reason(analysis, ledger):
    job = accepted(ledger)
    analyse(job.id, replace(analysis, model_of=Analyst(refusal=NotARadiograph("Send an X-ray."))))
    done = ledger.read(job.id)
    assert (done.state, done.error["type"], done.error["detail"]) == (
        State.FAILED,
        "not-a-radiograph",
        "Send an X-ray.",
    )


def test_a_picture_that_the_model_rejects_ends_failed(analysis, ledger):
    job = accepted(ledger)
    analyse(job.id, replace(analysis, model_of=Analyst(answer=answering(NotARadiograph("Send an X-ray.")))))
    assert ledger.read(job.id).error == {"type": "not-a-radiograph", "detail": "Send an X-ray."}


def test_an_image_that_does_not_decode_ends_failed(analysis, ledger):
    job = accepted(ledger, image=pictures.truncated_jpeg())
    analyse(job.id, analysis)
    assert ledger.read(job.id).error["type"] == "unreadable-image"


def test_a_broken_analysis_is_retried_and_fails_after_the_last_attempt(analysis, ledger, redis):
    broken = replace(analysis, model_of=Analyst(answer=answering(RuntimeError("out of memory"))))
    job = accepted(ledger)
    for attempt in (1, 2):
        analyse(job.id, broken)
        assert (ledger.read(job.id).state, ledger.read(job.id).attempts) == (State.QUEUED, attempt)
        assert redis.llen(INFER_ROUTINE) == attempt
    analyse(job.id, broken)
    done = ledger.read(job.id)
    assert (done.state, done.error["type"]) == (State.FAILED, "internal-error")
    assert "memory" not in done.error["detail"], "what broke inside is not the client's to read"


def test_a_job_is_left_to_the_sweeper_while_the_store_is_away(analysis, ledger):
    job = accepted(ledger)
    with pytest.raises(StoreUnavailable):
        analyse(job.id, replace(analysis, model_of=Analyst(answer=answering(StoreUnavailable("away")))))
    back = ledger.read(job.id)
    assert (back.state, back.attempts) == (State.QUEUED, 0), "no fault of the job's: this does not count"
    assert list(ledger.pending()) == [job.id]


def test_fields_of_a_newer_version_pass_through_this_one(analysis, ledger):
    job = accepted(ledger, later={"triage": {"by": "a newer worker"}})
    analyse(job.id, analysis)
    done = ledger.read(job.id)
    assert (done.state, done.later) == (State.SUCCEEDED, job.later)
    assert ledger.current(job.id).later == job.later


def test_a_result_outlasts_an_outage_of_redis(analysis, ledger, redis):
    job = accepted(ledger)

    def then_full(radiograph: Radiograph) -> Prediction:
        redis.config_set("maxmemory", 1)
        Timer(1.5, redis.config_set, ["maxmemory", 0]).start()
        return answering(PREDICTION)(radiograph)

    try:
        analyse(job.id, replace(analysis, model_of=Analyst(answer=then_full)))
    finally:
        redis.config_set("maxmemory", 0)
    done = ledger.read(job.id)
    assert (done.state, done.attempts, done.version) == (State.SUCCEEDED, 1, 3)


def test_a_result_outlasts_the_lock_of_a_writer_that_died(analysis, ledger, redis):
    job = accepted(ledger)

    def then_locked(radiograph: Radiograph) -> Prediction:
        ledger.view.lock_version(job.id, 3, "a cancellation whose answer was lost")
        (lock,) = redis.keys(f"*{job.id}:3")
        redis.pexpire(lock, 1500)
        return answering(PREDICTION)(radiograph)

    attempt = analyse(job.id, replace(analysis, model_of=Analyst(answer=then_locked)))
    done = ledger.read(job.id)
    assert (attempt, done.state, done.version) == (Attempt.SUCCEEDED, State.SUCCEEDED, 3)


def test_jobs_that_lost_a_worker_go_one_at_a_time(analysis, ledger):
    at_work, most = [0], [0]

    def counting(_: Radiograph) -> Prediction:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.05)  # Long enough for the others to begin, if they were allowed to.
        at_work[0] -= 1
        return answering(PREDICTION)(_)

    watched = replace(analysis, model_of=Analyst(answer=counting))
    for lost, together in ((False, True), (True, False)):
        jobs = [accepted(ledger) for _ in range(4)]
        if lost:
            for job in jobs:
                ledger.append(ledger.append(job.started("inference:gone:1", now())).handed_back(now()))
        most[0] = 0
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda job: analyse(job.id, watched), jobs))
        assert [ledger.read(job.id).state for job in jobs] == [State.SUCCEEDED] * 4
        assert (most[0] > 1) is together


def a_retried_job(ledger) -> Job:
    job = accepted(ledger)
    return ledger.append(ledger.append(job.started("inference:gone:1", now())).handed_back(now()))


def test_retried_jobs_occupy_one_thread_and_a_new_job_passes_them(analysis, ledger, monkeypatch):
    retried, fresh = [a_retried_job(ledger) for _ in range(3)], accepted(ledger)
    at_work, go_on = Event(), Event()

    def slow(radiograph: Radiograph) -> Prediction:
        at_work.set()
        assert go_on.wait(180)
        return answering(PREDICTION)(radiograph)

    slow_context = replace(analysis, model_of=Analyst(answer=slow))
    reported = []
    monkeypatch.setattr(analysis.queue, "report_end", lambda *end: reported.append(end))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(analyse, retried[0].id, slow_context)
        try:
            assert at_work.wait(180)  # The other thread's job could overtake it until then.
            for other in [threads.submit(analyse, job.id, slow_context) for job in retried[1:]]:
                other.result(timeout=180)
            threads.submit(analyse, fresh.id, analysis).result(timeout=180)
            assert ledger.read(fresh.id).state is State.SUCCEEDED
            assert not first.done()
        finally:
            go_on.set()
    assert {ledger.read(job.id).state for job in retried} == {State.SUCCEEDED}
    left = [(f"{job.id}-2", analysis.runner, None) for job in retried[1:]]
    assert reported == left, "their messages ended before them"


def test_a_worker_that_is_to_end_begins_no_further_retried_job(analysis, ledger):
    first, second, at_work = a_retried_job(ledger), a_retried_job(ledger), Event()

    def told_to_stop(radiograph: Radiograph) -> Prediction:
        at_work.set()
        assert left.wait(180)
        analysis.stopping.set()
        return answering(PREDICTION)(radiograph)

    left, stopped = Event(), replace(analysis, model_of=Analyst(answer=told_to_stop))
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(analyse, first.id, stopped)
        assert at_work.wait(180)
        analyse(second.id, stopped)
        left.set()
        working.result(timeout=60)
    assert [ledger.read(job.id).state for job in (first, second)] == [State.SUCCEEDED, State.QUEUED]


def test_a_retried_job_that_breaks_delays_none_behind_it(analysis, ledger):
    first, second = a_retried_job(ledger), a_retried_job(ledger)
    analyse(first.id, replace(analysis, model_of=Analyst(answer=answering(StoreUnavailable("away")))))
    analyse(second.id, analysis)
    assert [ledger.read(job.id).state for job in (first, second)] == [State.QUEUED, State.SUCCEEDED]


def test_a_result_that_the_store_will_never_take_fails_its_job(analysis, ledger, monkeypatch):
    job = accepted(ledger, callback_url="https://clinic.example/")
    put_new = ledger.objects.put_new

    def limited(key: str, body: bytes) -> None:
        if b'"heat":null' not in body:
            raise StoreRefused("EntityTooLarge")
        put_new(key, body)

    monkeypatch.setattr(ledger.objects, "put_new", limited)
    analyse(job.id, analysis)
    done = ledger.read(job.id)
    assert (done.state, done.error["type"], done.version) == (State.FAILED, "internal-error", 3)


def test_a_worker_that_is_to_end_does_not_wait_for_a_store(analysis, ledger, monkeypatch):
    job = accepted(ledger)
    put_new, tried = ledger.objects.put_new, []

    def away(key: str, body: bytes) -> None:
        if b'"state":"succeeded"' in body:
            tried.append(key)
            analysis.stopping.set()
            raise StoreUnavailable("away")
        put_new(key, body)

    monkeypatch.setattr(ledger.objects, "put_new", away)
    with pytest.raises(StoreUnavailable):
        analyse(job.id, analysis)
    assert len(tried) == 1
    assert ledger.read(job.id).state is State.RUNNING, "the sweeper hands it back once its worker is gone"


def test_the_pauses_between_attempts_to_record_a_job_grow():
    pauses = list(islice(_with_jitter(PAUSES), 8))
    assert pauses[:5] == sorted(pauses[:5])
    assert max(pauses) <= 1.2 * PAUSES[-1]


def test_the_result_of_a_job_that_was_canceled_meanwhile_is_void(analysis, ledger, redis):
    job = accepted(ledger, callback_url="https://clinic.example/")

    def slow(_: Radiograph) -> Prediction:
        change_job(job.id, lambda job: job.canceled(now()), ledger)
        return answering(PREDICTION)(_)

    analyse(job.id, replace(analysis, model_of=Analyst(answer=slow)))
    done = ledger.read(job.id)
    assert (done.state, done.result, done.version) == (State.CANCELED, None, 3)
    assert redis.llen(DELIVER) == 0, "the request that canceled it enqueues the callback"


def test_a_job_deleted_during_its_analysis_stays_deleted(analysis, ledger, redis):
    job = accepted(ledger)

    def breaks(_: Radiograph) -> Prediction:
        delete(job.id, ledger)
        redis.delete(f"gate:{job.id}:3")  # As the write lock ends by itself after a while.
        raise RuntimeError("a dead letter")

    analyse(job.id, replace(analysis, model_of=Analyst(answer=breaks), max_attempts=1))
    assert only_a_tombstone_is_left(job.id, ledger)
    analyse(job.id, analysis)
    assert only_a_tombstone_is_left(job.id, ledger)


def test_a_message_for_a_job_that_was_canceled_while_it_waited_is_dropped(analysis, ledger):
    job = accepted(ledger)
    ledger.append(job.canceled(now()))
    analyse(job.id, analysis)
    assert analysis.model_of.seen == []
    assert ledger.read(job.id).state is State.CANCELED


def test_the_result_of_an_attempt_that_was_taken_away_is_void(analysis, ledger):
    job = accepted(ledger)

    def slow(_: Radiograph) -> Prediction:
        # During this attempt the sweeper gives the job to another worker, which ends it.
        mine = ledger.read(job.id)
        again = ledger.append(ledger.append(mine.handed_back(now())).started("inference:other:2", now()))
        ledger.append(again.failed("not-a-radiograph", "The other worker found so.", now()))
        return answering(PREDICTION)(_)

    analyse(job.id, replace(analysis, model_of=Analyst(answer=slow)))
    done = ledger.read(job.id)
    assert (done.state, done.runner, done.attempts) == (State.FAILED, "inference:other:2", 2)


def test_a_job_without_a_free_decode_process_is_requeued_uncounted(analysis, ledger):
    def none_free(data: bytes, client: str) -> Radiograph:
        raise NoDecoder("no decode process is free within 10 s")

    job = accepted(ledger)
    with pytest.raises(TransientError):
        analyse(job.id, replace(analysis, decode=none_free))
    again = ledger.current(job.id)
    assert (again.state, again.attempts) == (State.QUEUED, 0)


@pytest.mark.parametrize("cause", ["decoder", "image"])
def test_a_job_that_alone_fails_many_times_ends_as_a_dead_letter(analysis, ledger, monkeypatch, cause):
    def fails(*_: object) -> Radiograph:
        raise NoDecoder("no process starts") if cause == "decoder" else StoreUnavailable("InternalError")

    monkeypatch.setattr("worker.inference.analyse.MOST_UNCOUNTED", 8)
    job = accepted(ledger)
    if cause == "image":
        monkeypatch.setattr(ledger, "image", fails)
    context = replace(analysis, decode=fails)
    for _ in range(8):
        with pytest.raises(TransientError):
            analyse(job.id, context)
        assert ledger.current(job.id).attempts == 0
    for _ in range(3):
        analyse(job.id, context)
    after = ledger.current(job.id)
    assert (after.state, after.error["type"], after.attempts) == (State.FAILED, "internal-error", 3)
    assert "decode" in after.error["detail"]
    assert after.dead_letter


def test_an_attempt_counts_as_a_success_only_where_the_job_has_its_result(analysis, ledger):
    good, bad, broken, canceled = (accepted(ledger) for _ in range(4))
    assert analyse(good.id, analysis) is Attempt.SUCCEEDED
    refusing = replace(analysis, model_of=Analyst(refusal=NotARadiograph("Send an X-ray.")))
    assert analyse(bad.id, refusing) is Attempt.FAILED
    breaking = replace(analysis, model_of=Analyst(answer=answering(ValueError("bug"))))
    assert analyse(broken.id, breaking) is Attempt.FAILED
    assert analyse(broken.id, analysis) is Attempt.SUCCEEDED, "alone, after a lost attempt"
    change_job(canceled.id, lambda job: job.canceled(now()), ledger)
    assert analyse(canceled.id, analysis) is Attempt.FAILED
    assert analyse(new_id("job"), analysis) is Attempt.FAILED


def test_a_second_message_of_an_attempt_counts_as_neither(analysis, ledger):
    job = accepted(ledger)
    analyse(job.id, analysis)
    assert analyse(job.id, analysis) is Attempt.NONE
    assert ledger.read(job.id).attempts == 1
