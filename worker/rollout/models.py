"""Holds the models of an inference worker, and swaps them while it works, as the roll-out says."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Condition, Event, Lock
from typing import Any

from jobs.models.roll_out import RollOut, RollOuts
from jobs.record.errors import TransientError
from jobs.record.job import Job
from jobs.redis.shadow_queue import ShadowQueue
from jobs.spans import span
from model.classifier import Classifier
from model.decode.radiograph import Radiograph
from model.prediction import Prediction
from worker.inference.batcher import Batcher
from worker.rollout.attempts import Attempts
from worker.rollout.metrics import name_models

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for which a job waits for the model that it was assigned to. Then the active one answers it."""


class LoadedModel:
    """A classifier with a batcher of its own, which ends once the model is retired and no job uses it."""

    def __init__(self, classifier: Classifier, batch: int) -> None:
        """`batch`: the most radiographs that one run of the model takes."""
        self.name, self.version, self.sha256 = classifier.name, classifier.version, classifier.sha256
        self.digest, self.served = classifier.digest, classifier.served
        self._classifier = classifier
        self._batcher = Batcher(classifier.run, batch)
        self._lock = Lock()
        self._users = 0
        self._retired = False

    def refuse_unless_gray(self, radiograph: Radiograph) -> None:
        """Raise NotARadiograph for a colour picture and for a blank one."""
        self._classifier.refuse_unless_gray(radiograph)

    def predict(self, radiograph: Radiograph) -> Prediction:
        """Predict in the thread of the job, except for the network, which the batcher's thread runs."""
        prepared = self._classifier.prepare(radiograph)
        with span("engine", attributes={"osteo.engine": self._classifier.engine}):
            answer = self._batcher.submit(prepared).result()
        return self._classifier.explain(radiograph, answer)

    def begin_use(self) -> None:
        """Keep the batcher until `end_use`."""
        with self._lock:
            self._users += 1

    def end_use(self) -> None:
        """End the batcher of a retired model with its last use."""
        self._ended(-1, self._retired)

    def retire(self) -> None:
        """End the batcher as soon as no job uses the model."""
        self._ended(0, True)

    def _ended(self, users: int, retired: bool) -> None:
        with self._lock:
            self._users += users
            self._retired |= retired
            over = self._retired and not self._users
        if over:
            self._batcher.close()


class Models:
    """The models of this worker: the active one, and the canary. Any thread may use them.

    A model is loaded beside the others, and a job that has begun with one ends with it. The memory of both is
    taken meanwhile.
    """

    def __init__(
        self,
        own: Classifier,
        attempts: Attempts,
        roll_outs: RollOuts,
        batch: int,
        shadow_queue: ShadowQueue,
        publish: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """`own`: the bundle of OSTEO_BUNDLE, loaded, which answers until the roll-out names another one.

        `publish` is called with what describes each model that is active as the roll-out names it.
        """
        self._own = own.digest
        self._attempts = attempts
        self._roll_outs = roll_outs
        self._batch = batch
        self._shadow_queue = shadow_queue
        self._publish = publish
        self._lock = Lock()
        self._roll_out = RollOut()
        self._published = ""
        self._wanted = Event()
        self._round = Condition()
        self._begun = self._ended = 0
        self._active = LoadedModel(own, batch)
        self._loaded = {own.digest: self._active}
        self._tell()

    @contextmanager
    def of(self, job: Job) -> Iterator[LoadedModel]:
        """Yield the model that is to analyse a job: the one that the job was assigned to, or the active one.

        An assigned model that this worker lacks is awaited for PATIENCE. The active one stands in for a model
        that was withdrawn, that cannot be loaded, or that takes longer: no job waits for a load that hangs.
        """
        if job.model and job.model not in self._loaded and not self._attempts.refused(job.model):
            self._await_load_of(job.model)
        with self._lock:
            model = self._loaded.get(job.model or "", self._active)
            model.begin_use()
        try:
            yield model
        finally:
            model.end_use()

    def copy_to_shadow(self, job: Job) -> None:
        """Have the shadow score a copy of a job that has its result and lies in the share. Never raises."""
        try:
            if job.result and self._roll_out.shadowed(job.id):
                self._shadow_queue.add(job.id)
        except Exception:
            log.warning("the shadow does not get this job", exc_info=True, extra={"job": job.id})

    def watch_until(self, stop: Event, seconds: float) -> None:
        """Follow the roll-out every `seconds`, and when a job asks for its model, until `stop` is set."""
        while not stop.is_set():
            self._wanted.wait(seconds)
            self._wanted.clear()
            if not stop.is_set():
                self.follow()

    def follow(self) -> None:
        """Load what the roll-out names and this worker lacks, and drop what it names no more. Never raises.

        A model that cannot be loaded changes nothing. One thread at a time may call this.
        """
        with self._round:
            self._begun += 1
        try:
            self._follow(self._roll_outs.read())
        except TransientError as error:
            log.warning("the roll-out of models cannot be followed now: %s", error)
        except Exception:
            log.exception("the roll-out of models cannot be followed")
        with self._round:
            self._ended = self._begun
            self._round.notify_all()

    def _await_load_of(self, digest: str) -> None:
        with self._round:
            next_round = self._begun + 1
            self._wanted.set()
            self._round.wait_for(lambda: digest in self._loaded or self._ended >= next_round, PATIENCE)

    def _follow(self, roll_out: RollOut) -> None:
        self._roll_out = roll_out
        active, canary = roll_out.active or self._own, roll_out.canary
        self._load("active", active)
        if canary:
            self._load("canary", canary)
        self._swap(active, canary)
        self._attempts.follow({active, canary}, roll_out.at_hand)

    def _load(self, part: str, digest: str) -> None:
        if digest not in self._loaded and (classifier := self._attempts.load(part, digest)):
            loaded = LoadedModel(classifier, self._batch)
            with self._lock:
                self._loaded = {**self._loaded, digest: loaded}

    def _swap(self, active: str, canary: str | None) -> None:
        before = self._active
        with self._lock:
            self._active = self._loaded.get(active, before)
            kept = (self._active, self._loaded.get(canary or ""))
            dropped = [model for model in self._loaded.values() if model not in kept]
            self._loaded = {digest: model for digest, model in self._loaded.items() if model in kept}
        for model in dropped:
            model.retire()
        self._tell()
        if self._active is not before:
            log.info("model %s %s is active now: %s", self._active.name, self._active.version, active)
        if self._active.digest == active != self._published:
            # Never what only stands in: clients read the thresholds of `GET /v1/model`.
            with suppress(TransientError):
                self._publish(self._active.served)
                self._published = active

    def _tell(self) -> None:
        others = [model for model in self._loaded.values() if model is not self._active]
        name_models([("active", self._active), *(("canary", model) for model in others)])
