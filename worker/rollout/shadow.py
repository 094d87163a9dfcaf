"""Scores copies of jobs by a shadow, after they have ended. No job waits for it, and none fails by it."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from jobs.models.roll_out import RollOuts
from jobs.models.shadow_scores import BROKEN, REFUSED, ShadowScore, ShadowScores, score_of
from jobs.record.errors import NotStored, QueueUnavailable, TransientError
from jobs.record.job import Job
from jobs.record.states import State
from jobs.redis.shadow_queue import WAIT
from jobs.store.ledger import Ledger
from model.classifier import Classifier
from model.decode.radiograph import Radiograph
from model.errors import ImageError, NoDecoder, NotARadiograph
from worker.inference.watchdog import Watchdog
from worker.rollout.attempts import Attempts
from worker.rollout.metrics import name_models

log = logging.getLogger(__name__)


@dataclass
class Shadow:
    """A worker that scores copies, one at a time. It holds the shadow that the roll-out names."""

    ledger: Ledger
    roll_outs: RollOuts
    attempts: Attempts
    decode: Callable[[bytes, str], Radiograph]
    watchdog: Watchdog
    classifier: Classifier | None = None

    def work_until(self, stop: Event) -> None:
        """Score what comes, until `stop` is set."""
        while not stop.is_set():
            try:
                idle = not self.follow() or not self.score_next()
            except TransientError as error:
                log.warning("a store does not answer: %s", error)
                idle = True
            except Exception:
                log.exception("a copy of a job was not scored")
                idle = False
            if idle:
                stop.wait(WAIT)

    def follow(self) -> bool:
        """Load the shadow that the roll-out names, unless it is loaded. Return whether there is one."""
        roll_out = self.roll_outs.read()
        digest = roll_out.shadow
        if self.classifier and self.classifier.digest != digest:
            self.classifier = None  # Before the next one is loaded: one takes memory enough.
            name_models([])
        if digest and not self.classifier and (loaded := self.attempts.load("shadow", digest)):
            self.classifier = loaded
            name_models([("shadow", loaded)])
        self.attempts.follow({digest}, roll_out.at_hand)
        return self.classifier is not None

    def score_next(self) -> bool:
        """Score the next copy. Return False where none waits. A copy is taken once, however this ends."""
        job_id = self.ledger.view.shadow_queue.take()
        if job_id is None:
            return False
        try:
            job = self.ledger.read(job_id)
        except NotStored:
            return True
        if job.state is State.SUCCEEDED and job.result:
            with self.watchdog.at_work(job.id):
                self._score(job)
        return True

    def _score(self, job: Job) -> None:
        assert self.classifier
        assert job.result
        if job.result["model"].get("bundle") == self.classifier.digest:
            return  # The canary's own job: it would agree with itself.
        score = self._examine(job, self.classifier)
        if not ShadowScores(self.ledger).put(score):
            return
        difference = None
        if score.probability is not None:
            difference = min(1.0, abs(score.probability - score.served_probability))
        with suppress(QueueUnavailable):
            self.ledger.view.shadow_queue.count(_kind(score), difference)

    def _examine(self, job: Job, classifier: Classifier) -> ShadowScore:
        try:
            radiograph = self.decode(self.ledger.image(job), job.client)
        except NoDecoder as error:
            raise TransientError(str(error)) from error
        try:
            classifier.refuse_unless_gray(radiograph)
            (prediction,) = classifier.predict([radiograph])
        except (NotARadiograph, ImageError):
            return score_of(job, classifier.digest, REFUSED)
        except Exception:
            log.exception("the shadow broke at this job", extra={"job": job.id})
            return score_of(job, classifier.digest, BROKEN)
        return score_of(job, classifier.digest, prediction.finding, prediction.probability)


def _kind(score: ShadowScore) -> str:
    if score.finding in (BROKEN, REFUSED):
        return score.finding
    return "finding" if score.differs else "none"
