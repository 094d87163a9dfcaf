"""Defines the record of a job or a study: an immutable value with a version, and its legal changes."""

import base64
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.record.errors import IllegalMove
from jobs.record.states import MOVES, Delivery, Kind, Priority, State

_DEAD_LETTER_ERRORS = frozenset({"worker-lost", "internal-error"})
"""Errors that are no fault of the submission. A job with one is a dead letter: an operator may retry it."""

LEFTOVER_GRACE = timedelta(minutes=10)
"""Time after which no process still writes anything of an interrupted submission or a deleted job."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The submitted image as the API has read it. Width and height in pixels, size in bytes."""

    sha256: str
    width: int
    height: int
    format: str
    size: int


NO_IMAGE = ImageFacts(sha256="", width=0, height=0, format="", size=0)


@dataclass(frozen=True, slots=True)
class Job:
    """One version of the record of a job, a study or a tombstone: see `kind`.

    A change makes a new value with `version` one higher. A change that is not legal raises IllegalMove.
    """

    id: str
    client: str
    image: ImageFacts
    created_at: datetime
    queued_at: datetime
    version: int = 1
    state: State = State.QUEUED
    delivery: Delivery = Delivery.NONE
    priority: Priority = Priority.ROUTINE
    reference: str | None = None
    metadata: dict[str, Any] | None = None
    callback_url: str | None = None
    traceparent: str | None = None
    """That of the request that submitted it, by W3C Trace Context."""
    key: str | None = None
    """The id of the API key that it was submitted with."""
    upload: str | None = None
    """The id of the upload that it was submitted by."""
    acquisition: dict[str, Any] | None = None
    """How the image was taken, in codes, as its DICOM header says: see model.decode.acquisition."""
    filed_under: str | None = None
    """The SHA-256 of the Study Instance UID in its DICOM header, by which a page finds it."""
    attempts: int = 0
    runner: str | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: dict[str, Any] | None = None
    heat: str | None = None
    """The heat map of n * n cells, a byte each, in base64. The overlay is drawn from it."""
    error: dict[str, str] | None = None
    delivery_attempts: int = 0
    call: dict[str, Any] | None = None
    """The outcome of the call of the receiver after which this version was written."""
    next_delivery_at: datetime | None = None
    retention_seconds: int | None = None
    """Time for which it is kept after its end; None keeps it for ever."""
    claim: str | None = None
    """Key of the claim of its idempotency key, or of its client's own id."""
    own_id: str | None = None
    """Its client's own id, where it was submitted under one."""
    retries: int = 0
    """How often an operator has retried it."""
    study: str | None = None
    """The study that it is a view of."""
    members: tuple[str, ...] = ()
    """The ids of a study's jobs, in the order of their images. Empty for a job."""
    reading: dict[str, Any] | None = None
    """When a person is to read it, as the client wished: `wish`, `due_seconds`, `question`."""
    training_use: str | None = None
    """`allowed` where its client allowed at its submission that models learn from it."""
    consent_reference: str | None = None
    """Its client's reference to the consent. It may name a patient: no log, callback or export has it."""
    model: str | None = None
    """The bundle that a canary has assigned it to, by its digest. None for the model that is active."""
    announces: dict[str, Any] | None = None
    """The type and the data of an event. None for a job and a study."""
    later: dict[str, Any] = field(default_factory=dict)
    """Fields of a later version of this program. They are kept: both versions may run side by side."""

    def started(self, runner: str, now: datetime) -> "Job":
        """Return the job as `runner` (a worker's heartbeat name) takes it: one attempt more."""
        return self._moved(State.RUNNING, runner=runner, started_at=now, attempts=self.attempts + 1)

    def handed_back(self, now: datetime, counted: bool = True) -> "Job":
        """Return the job back in the queue. The attempt is `counted` unless neither job nor worker failed."""
        attempts = self.attempts - (not counted)
        return self._moved(State.QUEUED, runner=None, started_at=None, queued_at=now, attempts=attempts)

    def succeeded(self, result: dict[str, Any], now: datetime, heat: bytes = b"") -> "Job":
        """Return the job with its result and its heat map of n * n bytes. Its callback is due at once."""
        return self._ended(State.SUCCEEDED, now, result=result, heat=base64.b64encode(heat).decode() or None)

    def failed(self, type_: str, detail: str, now: datetime) -> "Job":
        """Return the job as failed, with a stable `type_` and a `detail` to read. Its callback is due."""
        return self._ended(State.FAILED, now, error={"type": type_, "detail": detail})

    def expired(self, now: datetime) -> "Job":
        """Return the job as expired, because it has waited too long. Its callback is due at once."""
        detail = "No worker took this job up before its deadline. Send the radiograph again."
        return self._ended(State.EXPIRED, now, error={"type": "expired", "detail": detail})

    def canceled(self, now: datetime) -> "Job":
        """Return the job as canceled by its client. Its callback is due at once."""
        detail = "This job was canceled. Send the radiograph again if you want a result after all."
        return self._ended(State.CANCELED, now, error={"type": "canceled", "detail": detail})

    def erased(self, now: datetime) -> "Job":
        """Return the tombstone: id, client and time, without any other content."""
        if State.ERASED not in MOVES[self.state]:
            raise IllegalMove(f"{self.id} is {self.state}")
        return Job(
            id=self.id,
            client=self.client,
            image=NO_IMAGE,
            created_at=now,
            queued_at=now,
            finished_at=now,
            version=self.version + 1,
            state=State.ERASED,
            # Names the queue that the job may have to be removed from.
            priority=self.priority,
            # The jobs to delete with a study.
            members=self.members,
        )

    def retried(self, now: datetime) -> "Job":
        """Return a dead letter back in the queue, as if it were new. Its next end has its own callback."""
        if not self.dead_letter:
            raise IllegalMove(f"{self.id} is {self.state} and no dead letter")
        return self._moved(
            State.QUEUED,
            delivery=Delivery.PENDING if self.callback_url else Delivery.NONE,
            delivery_attempts=0,
            attempts=0,
            retries=self.retries + 1,
            queued_at=now,
            expires_at=now + (self.expires_at - self.created_at) if self.expires_at else None,
            **dict.fromkeys(("runner", "started_at", "finished_at", "error", "next_delivery_at", "call")),
        )

    def concluded(self, succeeded: bool, now: datetime) -> "Job":
        """Return the study as ended, because all of its jobs have ended. Its callback is due at once."""
        return self._ended(State.SUCCEEDED if succeeded else State.FAILED, now)

    def reopened(self) -> "Job":
        """Return the ended study as running, as a job of it is retried. Its next end has its own callback."""
        return replace(
            self,
            version=self.version + 1,
            state=State.RUNNING,
            delivery=Delivery.PENDING if self.callback_url else Delivery.NONE,
            delivery_attempts=0,
            retries=self.retries + 1,
            finished_at=None,
            next_delivery_at=None,
            call=None,
        )

    def delivered(self, call: dict[str, Any] | None = None) -> "Job":
        """Return the job with its callback delivered; `call` is the outcome that the client sees."""
        return self._delivery_moved(Delivery.DELIVERED, call=call)

    def delivery_given_up(self, to: Delivery, call: dict[str, Any] | None = None) -> "Job":
        """Return the job with its callback given up, after a `call` if there was one."""
        return self._delivery_moved(to, call=call)

    def delivery_begun(self, next_at: datetime) -> "Job":
        """Return the job before a call: one attempt more, due again at `next_at` unless it arrives."""
        begun = self._delivery_moved(Delivery.PENDING, next_delivery_at=next_at)
        return replace(begun, delivery_attempts=self.delivery_attempts + 1)

    def overdue(self, at: datetime) -> bool:
        """Whether it still waits for a worker after its deadline."""
        return self.state is State.QUEUED and self.expires_at is not None and self.expires_at <= at

    def delivery_postponed(self, next_at: datetime, call: dict[str, Any]) -> "Job":
        """Return the job after a `call` that failed. Its callback is due again at `next_at`."""
        return self._delivery_moved(Delivery.PENDING, next_delivery_at=next_at, call=call)

    def redelivered(self, now: datetime) -> "Job":
        """Return the job with its callback due once more, from the start of the schedule."""
        if not self.state.final or not self.callback_url:
            raise IllegalMove(f"{self.id} is {self.state} and has no callback to deliver again")
        version = self.version + 1
        pending = replace(self, version=version, delivery=Delivery.PENDING, delivery_attempts=0)
        return replace(pending, next_delivery_at=now, call=None)

    @property
    def kind(self) -> Kind:
        """What the record stands for."""
        if self.state is State.ERASED:
            return Kind.TOMBSTONE
        if self.announces:
            return Kind.EVENT
        return Kind.STUDY if self.members else Kind.JOB

    @property
    def event(self) -> str:
        """The type of the event of its end: `job.succeeded`, `study.failed` and so on."""
        if self.announces:
            return str(self.announces["type"])
        return f"{self.id.partition('_')[0]}.{self.state}"

    @property
    def dead_letter(self) -> bool:
        """Whether it failed through no fault of the submission, so that an operator may retry it."""
        return self.error is not None and self.error["type"] in _DEAD_LETTER_ERRORS

    @property
    def owes_callback(self) -> bool:
        """Whether it has ended and its callback has not."""
        return self.state.final and self.delivery is Delivery.PENDING

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: ended, and its callback too."""
        return self.state.final and not self.owes_callback

    def _moved(self, to: State, **changes: Any) -> "Job":
        if to not in MOVES[self.state]:
            raise IllegalMove(f"{self.id}: {self.state} -> {to}")
        return replace(self, version=self.version + 1, state=to, **changes)

    def _ended(self, to: State, now: datetime, **changes: Any) -> "Job":
        due = now if self.callback_url else None
        return self._moved(to, finished_at=now, next_delivery_at=due, **changes)

    def _delivery_moved(
        self, to: Delivery, next_delivery_at: datetime | None = None, call: dict[str, Any] | None = None
    ) -> "Job":
        if not self.owes_callback:
            raise IllegalMove(f"{self.id}: delivery {self.delivery} -> {to} while {self.state}")
        return replace(
            self,
            version=self.version + 1,
            delivery=to,
            next_delivery_at=next_delivery_at,
            call=call,
        )


def now() -> datetime:
    """Return the present time in UTC, to the millisecond, as in records and answers."""
    moment = datetime.now(UTC)
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def moment_text(moment: datetime) -> str:
    """Return `moment` as ISO 8601 in UTC with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
