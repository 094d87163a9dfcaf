"""Analyses one job: takes it, reads its radiograph, predicts, and stores the result."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from threading import Event, get_ident

from jobs.lifecycle.next_step import after_lost_attempt, start_next_step
from jobs.record.errors import (
    Conflict,
    NotStored,
    QueueUnavailable,
    StoreRefused,
    StoreUnavailable,
    TransientError,
)
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.redis.message_spans import ATTEMPT, process_span
from jobs.redis.queue import QUEUE_OF_PRIORITY, JobQueue
from jobs.redis.task_ids import analysis_task_id
from jobs.redis.view import Send
from jobs.spans import Span, span
from jobs.store.ledger import Ledger
from model.decode.radiograph import Radiograph
from model.errors import ImageError, NoDecoder, NotARadiograph
from model.prediction import cells_to_bytes
from worker.inference.metrics import count_broken_attempt, count_end, count_start
from worker.inference.read_ahead import ReadAhead
from worker.inference.result import Analyst, result_of
from worker.inference.serial_analysis import SerialAnalysis
from worker.inference.watchdog import Watchdog
from worker.repeat import repeated

log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between two attempts to record a job. The last of them repeats."""
MOST_UNCOUNTED = 720
"""Attempts at a job that cost nothing where a store or a decoder fails. The sweeper sends such a job again
every five seconds or later, so they last an hour at least."""
_NOT_STORED = "The result of this image could not be stored."
_NOT_READ = "This image could not be read from the object store, or no process could decode it, many times."


@dataclass(frozen=True)
class AnalysisContext:
    """What an analysis needs."""

    ledger: Ledger
    queue: JobQueue
    model_of: Callable[[Job], AbstractContextManager[Analyst]]
    """Gives the model that is to analyse a job, as worker.rollout.models.Models does."""
    decode: Callable[[bytes, str], Radiograph]
    """Decodes an image of the client that is named, as model.decode_processes.pool.Decoders does."""
    runner: str
    max_attempts: int
    watchdog: Watchdog
    serial_analysis: SerialAnalysis
    stopping: Event
    """Set once this worker is to end."""
    copy: Callable[[Job], object]
    """Is called with each job that has ended, for a shadow; it never raises."""
    read_ahead: ReadAhead = field(default_factory=ReadAhead)


class Attempt(Enum):
    """How an attempt at a job has ended."""

    SUCCEEDED = "the job has its result"
    FAILED = "the job has no result"
    NONE = "another message or thread has made this attempt"


def analyse(job_id: str, context: AnalysisContext, sent: str | None = None) -> Attempt:
    """Analyse the job if it waits. It then has ended, or is back in the queue.

    `sent` is the message's `traceparent`. Raises TransientError where a store does not answer, and
    StoreRefused. The sweeper restarts the job then.
    """
    waiting = _waiting(job_id, context)
    if waiting is None:
        return _attempt_by_another_message(job_id, context)
    if not waiting.attempts:
        return _analyse(waiting, context, sent)
    # The job may have killed its worker, and must not do so to the jobs that run beside it.
    attempts, own = dict[str, Attempt](), get_ident()

    def work(id_: str) -> None:
        attempt = Attempt.FAILED  # Unless it ends.
        try:
            attempt = _analyse(_waiting(id_, context), context, sent)
        finally:
            attempts[id_] = attempt
            if get_ident() != own:
                # Celery has ended the task already, and reported nothing.
                _report(analysis_task_id(waiting, waiting.attempts + 1), attempt, context)

    context.serial_analysis.analyse(job_id, work)
    return attempts.get(job_id, Attempt.NONE)


def _report(task_id: str, attempt: Attempt, context: AnalysisContext) -> None:
    if attempt is not Attempt.NONE:
        with suppress(QueueUnavailable):  # Flower alone misses it.
            failure = None if attempt is Attempt.SUCCEEDED else attempt.value
            context.queue.report_end(task_id, context.runner, failure)


def _analyse(waiting: Job | None, context: AnalysisContext, sent: str | None) -> Attempt:
    if waiting is None:
        return Attempt.NONE
    if waiting.overdue(now()) and waiting.overdue(context.ledger.clock.earliest()):
        _end(waiting.expired(now()), context)
        return Attempt.FAILED
    job = waiting.started(context.runner, now())
    queue, task_id = QUEUE_OF_PRIORITY[job.priority], analysis_task_id(job, job.attempts)
    with process_span(queue, task_id, job, sent) as processing:
        processing.set({ATTEMPT: job.attempts})
        with context.read_ahead.of(job, partial(_read, job, context)) as radiograph:
            if not _take(job, context):
                return Attempt.NONE
            return _run(job, radiograph, context, processing)


def _take(started: Job, context: AnalysisContext) -> bool:
    # The window has room for one more job of this client then. The sweeper sends it where this fails.
    if not _record(started, context, context.queue.send):
        return False
    count_start(started)
    return True


def _read(job: Job, context: AnalysisContext) -> Radiograph:
    with span("read image"):
        image = context.ledger.image(job)
    with span("decode"):
        return context.decode(image, job.client)


def _run(
    job: Job, radiograph: Callable[[], Radiograph], context: AnalysisContext, processing: Span
) -> Attempt:
    try:
        # A model that has to be loaded first takes none of the time of the analysis.
        with context.model_of(job) as analyst, context.watchdog.at_work(job.id):
            ended = _examine(job, analyst, radiograph)
    except TransientError:
        # An attempt writes a version, and its hand-back the next one.
        if job.version // 2 <= MOST_UNCOUNTED:
            _record(job.handed_back(now(), counted=False), context)
            raise
        # A store or decoder that fails for so long, while this job is recorded, fails for this job alone.
        log.exception("the image cannot be read or decoded", extra={"job": job.id})
        ended = _after_broken_attempt(job, _NOT_READ, context, processing)
    except Exception:
        log.exception("the analysis broke", extra={"job": job.id})
        ended = _after_broken_attempt(job, "The analysis broke several times.", context, processing)
    processing.set({"osteo.job.state": ended.state})
    if ended.error:
        processing.fail(ended.error["type"])
    try:
        with span("record result"):
            recorded = _end(ended, context)
    except StoreRefused:
        log.exception("this result can never be stored", extra={"job": job.id})
        count_broken_attempt()
        _end(job.failed("internal-error", _NOT_STORED, now()), context)
        return Attempt.FAILED
    return Attempt.SUCCEEDED if recorded and ended.state is State.SUCCEEDED else Attempt.FAILED


def _after_broken_attempt(job: Job, detail: str, context: AnalysisContext, processing: Span) -> Job:
    count_broken_attempt()
    processing.fail("internal-error")
    return after_lost_attempt(job, context.max_attempts, "internal-error", detail)


def _end(ended: Job, context: AnalysisContext) -> bool:
    """Record the end and start the next step. Return False if another process ended the job first."""
    if not _record(ended, context):
        log.warning(
            "another process ended this job first", extra={"job": ended.id, "attempt": ended.attempts}
        )
        return False
    count_end(ended)
    log.info("job %s", ended.state, extra={"job": ended.id, "attempt": ended.attempts})
    start_next_step(ended, context.ledger, context.queue)
    context.copy(ended)
    return True


def _record(job: Job, context: AnalysisContext, send: Send | None = None) -> bool:
    """Write the job's next version. Return False if another process has written one.

    While a store does not answer, or another process has the lock of this version and does not write, the
    write is repeated until this worker is to end; TransientError is raised then. Raises StoreRefused where
    the object store will never accept this version.
    """
    # The version may be written all the same. No other worker takes the job while this one lives.
    return repeated(
        lambda: _append(job, context.ledger, send), TransientError, PAUSES, context.stopping, job.id
    )


def _append(job: Job, ledger: Ledger, send: Send | None) -> bool:
    """Write the job's next version once. Return False if another process has written one."""
    try:
        ledger.append(job, send)
    except Conflict as conflict:
        if not ledger.is_written(job):
            # Its writer may have died: a result must not be given up for a lock that ends by itself.
            raise StoreUnavailable("another process has the lock of this version") from conflict
        return False
    return True


def _waiting(job_id: str, context: AnalysisContext) -> Job | None:
    try:
        job = context.ledger.current(job_id)
    except NotStored:
        log.warning("a message names a job that does not exist", extra={"job": job_id})
        return None
    return job if job.state is State.QUEUED else None


def _attempt_by_another_message(job_id: str, context: AnalysisContext) -> Attempt:
    with suppress(NotStored):
        if context.ledger.current(job_id).state in (State.RUNNING, State.SUCCEEDED, State.FAILED):
            return Attempt.NONE
    return Attempt.FAILED  # It was canceled or deleted, or has waited too long.


def _examine(job: Job, analyst: Analyst, read: Callable[[], Radiograph]) -> Job:
    try:
        radiograph = read()
        analyst.refuse_unless_gray(radiograph)
        prediction = analyst.predict(radiograph)
    except NoDecoder as error:
        raise TransientError(str(error)) from error
    except NotARadiograph as refusal:
        return job.failed("not-a-radiograph", refusal.detail, now())
    except ImageError as refusal:
        return job.failed("unreadable-image", refusal.detail, now())
    return job.succeeded(result_of(job, prediction, analyst), now(), cells_to_bytes(prediction.cells))
