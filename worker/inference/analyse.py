"""Analyse one job: take it up, read its radiograph, predict, store the result."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from threading import Event
from typing import Any, Protocol

from jobs.lifecycle.next_step import after_lost_attempt, pass_on
from jobs.record.errors import Conflict, NotStored, StoreRefused, TransientError
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger
from jobs.trace import within
from model.decode.image import Radiograph
from model.errors import ImageError, NoDecoder, NotARadiograph
from model.prediction import Prediction, cells_to_bytes
from worker.inference.suspects import Suspects
from worker.inference.watchdog import Watchdog

log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between two attempts to record a job; the last of them repeats."""
_NOT_STORED = "The result of this image could not be stored."


class Analyst(Protocol):
    """What is asked of the model: see model.classifier.Classifier."""

    name: str
    version: str
    sha256: str

    def refuse_unless_gray(self, radiograph: Radiograph) -> None:
        """Raise NotARadiograph for a colour picture and for a blank one."""


@dataclass(frozen=True)
class AnalysisContext:
    """What an analysis works with."""

    ledger: Ledger
    queue: JobQueue
    analyst: Analyst
    predict: Callable[[Radiograph], Prediction]
    decode: Callable[[bytes, str], Radiograph]
    """Decodes an image of a client's, as model.decode_processes.pool.Decoders does."""
    runner: str
    max_attempts: int
    watchdog: Watchdog
    suspects: Suspects
    stopping: Event
    """Set once this worker is to end."""


def analyse(job_id: str, context: AnalysisContext) -> None:
    """Bring the job to its end, or back into the queue; do nothing where another holds or held it.

    Raises TransientError where a store does not answer, and StoreRefused; the sweeper takes the job up again
    then.
    """
    waiting = _waiting(job_id, context)
    if waiting is None:
        return
    if waiting.attempts:
        # It may be what killed its worker, and must not take its neighbours down again.
        context.suspects.analyse(job_id, lambda suspect: _analyse(_waiting(suspect, context), context))
    else:
        _analyse(waiting, context)


def _analyse(waiting: Job | None, context: AnalysisContext) -> None:
    if waiting is None:
        return
    if waiting.overdue(now()) and waiting.overdue(context.ledger.clock.earliest()):
        _end(waiting.expired(now()), context)
        return
    job = _take_up(waiting, context)
    with suppress(TransientError):
        # One place in the queue is free for this client; the sweeper sees to it otherwise.
        context.queue.feed(waiting.client, waiting.priority)
    if job is not None:
        with within(job.traceparent):
            _bring_to_its_end(job, context)


def _bring_to_its_end(job: Job, context: AnalysisContext) -> None:
    try:
        with context.watchdog.at_work(job.id):
            ended = _examine(job, context)
    except TransientError:
        _recorded(job.handed_back(now(), counted=False), context)
        raise
    except Exception:
        log.exception("the analysis broke", extra={"job": job.id})
        ended = after_lost_attempt(
            job, context.max_attempts, "internal-error", "The analysis broke several times."
        )
    try:
        _end(ended, context)
    except StoreRefused:
        log.exception("this result can never be stored", extra={"job": job.id})
        _end(job.failed("internal-error", _NOT_STORED, now()), context)


def _end(ended: Job, context: AnalysisContext) -> None:
    if not _recorded(ended, context):
        log.warning("another ended this job first", extra={"job": ended.id, "attempt": ended.attempts})
        return
    log.info("job %s", ended.state, extra={"job": ended.id, "attempt": ended.attempts})
    pass_on(ended, context.ledger, context.queue)


def _recorded(job: Job, context: AnalysisContext) -> bool:
    """Write the job's next version, however long its stores are away; False if another has written one.

    Raises StoreRefused where the object store will never take this version, and TransientError where this
    worker is to end before its stores answer.
    """
    for pause in _pauses():
        try:
            context.ledger.append(job)
        except Conflict:
            return False
        except TransientError as error:
            # It may have been written for all that, and no other worker takes it up while this one lives.
            log.warning("this job cannot be recorded now: %s", error, extra={"job": job.id})
            if context.stopping.wait(pause):
                raise
        else:
            break
    return True


def _pauses() -> Iterator[float]:
    """Endless, with jitter: the threads of a worker do not all come back at once."""
    return (pause * random.uniform(0.8, 1.2) for pause in chain(PAUSES, repeat(PAUSES[-1])))


def _waiting(job_id: str, context: AnalysisContext) -> Job | None:
    try:
        job = context.ledger.current(job_id)
    except NotStored:
        log.warning("a message for a job that does not exist", extra={"job": job_id})
        return None
    return job if job.state is State.QUEUED else None


def _take_up(job: Job, context: AnalysisContext) -> Job | None:
    started = job.started(context.runner, now())
    return started if _recorded(started, context) else None


def _examine(job: Job, context: AnalysisContext) -> Job:
    try:
        radiograph = context.decode(context.ledger.image(job), job.client)
        context.analyst.refuse_unless_gray(radiograph)
        prediction = context.predict(radiograph)
    except NoDecoder as error:
        raise TransientError(str(error)) from error
    except NotARadiograph as refusal:
        return job.failed("not-a-radiograph", refusal.detail, now())
    except ImageError as refusal:
        return job.failed("unreadable-image", refusal.detail, now())
    return job.succeeded(_result(job, prediction, context.analyst), now(), cells_to_bytes(prediction.cells))


def _result(job: Job, prediction: Prediction, analyst: Analyst) -> dict[str, Any]:
    acquisition = job.acquisition or {}
    return {
        "finding": prediction.finding,
        "probability": round(prediction.probability, 4),
        "regions": [
            {
                "box": list(region.box),
                "score": round(region.score, 4),
                **_in_millimetres(region.box, acquisition.get("pixel_spacing")),
            }
            for region in prediction.regions
        ],
        "field": list(prediction.field),
        "warnings": [asdict(warning) for warning in prediction.warnings],
        "model": {"name": analyst.name, "version": analyst.version, "sha256": analyst.sha256},
        "image": {
            "sha256": job.image.sha256,
            "width": job.image.width,
            "height": job.image.height,
            "format": job.image.format,
            **acquisition,
        },
    }


def _in_millimetres(box: tuple[int, int, int, int], spacing: list[float] | None) -> dict[str, list[float]]:
    if spacing is None:
        return {}
    between_rows, between_columns = spacing
    x, y, width, height = box
    scaled = (x * between_columns, y * between_rows, width * between_columns, height * between_rows)
    return {"box_mm": [round(length, 2) for length in scaled]}
