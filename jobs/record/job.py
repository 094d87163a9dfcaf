"""The job: one radiograph's way through the service, or a study's, as an immutable value with a version."""

import base64
import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.record.errors import IllegalMove
from jobs.record.states import MOVES, Delivery, Priority, State

_DEAD_LETTER_ERRORS = frozenset({"worker-lost", "internal-error"})
"""Errors that are no fault of the submission: such a job is a dead letter, for an operator to retry."""

LEFTOVER_GRACE = timedelta(minutes=10)
"""After so long, whoever was writing something of a job has written it, or never will."""

_MOMENTS = ("created_at", "queued_at", "expires_at", "started_at", "finished_at", "next_delivery_at")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the API found out about the submitted image. Sizes in pixels and bytes."""

    sha256: str
    width: int
    height: int
    format: str
    size: int


NO_IMAGE = ImageFacts(sha256="", width=0, height=0, format="", size=0)


@dataclass(frozen=True, slots=True)
class Job:
    """One version of a job's record. A change makes a new value with `version` one higher."""

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
    """Of the request that submitted it, by W3C Trace Context."""
    key: str | None = None
    """The id of the API key that it was submitted with."""
    upload: str | None = None
    """The id of the upload that it was submitted by."""
    acquisition: dict[str, Any] | None = None
    """What a DICOM header says of how the image was taken, in codes: see model.decode.dicom_acquisition."""
    attempts: int = 0
    runner: str | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: dict[str, Any] | None = None
    heat: str | None = None
    """Where the model looked, base64 of n * n bytes: what the overlay is drawn from."""
    error: dict[str, str] | None = None
    delivery_attempts: int = 0
    call: dict[str, Any] | None = None
    """What came of the call of the receiver that this version was written after."""
    next_delivery_at: datetime | None = None
    retention_seconds: int | None = None
    """How long after its end it is kept; None is for ever."""
    claim: str | None = None
    """Where the claim of its idempotency key, or of its client's own id, lies."""
    own_id: str | None = None
    """Its client's own id, where it was submitted under one."""
    retries: int = 0
    """How often an operator has had it tried again."""
    study: str | None = None
    """The study that it is a view of."""
    members: tuple[str, ...] = ()
    """Of a study: the ids of its jobs, in the order of their images. Only a study has any."""
    later: dict[str, Any] = field(default_factory=dict)
    """What a later version of this program wrote beside these: kept, as both may run side by side."""

    def started(self, runner: str, now: datetime) -> "Job":
        """The job as `runner` (a worker's heartbeat name) takes it up: one attempt more."""
        return self._moved(State.RUNNING, runner=runner, started_at=now, attempts=self.attempts + 1)

    def handed_back(self, now: datetime, counted: bool = True) -> "Job":
        """The job back in the queue; `counted` unless neither job nor worker was at fault."""
        attempts = self.attempts - (not counted)
        return self._moved(State.QUEUED, runner=None, started_at=None, queued_at=now, attempts=attempts)

    def succeeded(self, result: dict[str, Any], now: datetime, heat: bytes = b"") -> "Job":
        """The job with its result and where the model looked, n * n bytes; its callback is due at once."""
        return self._ended(State.SUCCEEDED, now, result=result, heat=base64.b64encode(heat).decode() or None)

    def failed(self, type_: str, detail: str, now: datetime) -> "Job":
        """The job given up: a stable `type_`, a `detail` for a person; its callback is due at once."""
        return self._ended(State.FAILED, now, error={"type": type_, "detail": detail})

    def expired(self, now: datetime) -> "Job":
        """The job given up because it has waited too long; its callback is due at once."""
        detail = "No worker took this job up before its deadline. Send the radiograph again."
        return self._ended(State.EXPIRED, now, error={"type": "expired", "detail": detail})

    def canceled(self, now: datetime) -> "Job":
        """The job given up because its client wants no result; its callback is due at once."""
        detail = "This job was canceled. Send the radiograph again if you want a result after all."
        return self._ended(State.CANCELED, now, error={"type": "canceled", "detail": detail})

    def erased(self, now: datetime) -> "Job":
        """The tombstone: id, client and time, and nothing of what the job held. Raises IllegalMove."""
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
            # The line that it may have to be taken out of.
            priority=self.priority,
            # The jobs that have to be erased with it.
            members=self.members,
        )

    def retried(self, now: datetime) -> "Job":
        """A dead letter back in the queue, as if new; how it ends is delivered anew. Raises IllegalMove."""
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
        """The study as the last of its jobs has ended; its callback is due at once."""
        return self._ended(State.SUCCEEDED if succeeded else State.FAILED, now)

    def reopened(self) -> "Job":
        """The ended study as one of its jobs is tried again; how it ends is delivered anew."""
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
        """The callback arrived; `call` is what came of it, for the client to see."""
        return self._delivery_moved(Delivery.DELIVERED, call=call)

    def delivery_given_up(self, to: Delivery, call: dict[str, Any] | None = None) -> "Job":
        """The callback will not be tried again, after a `call` if there was one."""
        return self._delivery_moved(to, call=call)

    def delivery_begun(self, next_at: datetime) -> "Job":
        """The callback is about to be sent: one attempt more, due again at `next_at` unless it arrives."""
        begun = self._delivery_moved(Delivery.PENDING, next_delivery_at=next_at)
        return replace(begun, delivery_attempts=self.delivery_attempts + 1)

    def overdue(self, at: datetime) -> bool:
        """Whether it still waits for a worker after its deadline."""
        return self.state is State.QUEUED and self.expires_at is not None and self.expires_at <= at

    def delivery_postponed(self, next_at: datetime, call: dict[str, Any]) -> "Job":
        """The callback did not arrive, and is due again at `next_at`."""
        return self._delivery_moved(Delivery.PENDING, next_delivery_at=next_at, call=call)

    def redelivered(self, now: datetime) -> "Job":
        """The callback due once more, from the schedule's beginning. Raises IllegalMove."""
        if not self.state.final or not self.callback_url:
            raise IllegalMove(f"{self.id} is {self.state} and has no callback to deliver again")
        version = self.version + 1
        pending = replace(self, version=version, delivery=Delivery.PENDING, delivery_attempts=0)
        return replace(pending, next_delivery_at=now, call=None)

    @property
    def event(self) -> str:
        """What a callback calls this end: `job.succeeded`, `study.failed` and so on."""
        return f"{self.id.partition('_')[0]}.{self.state}"

    @property
    def dead_letter(self) -> bool:
        """Whether it was given up though nothing is known to be wrong with the submission."""
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

    def to_json(self) -> bytes:
        """The record as UTF-8 JSON, times as ISO 8601 in UTC."""
        # Not by asdict, which copies all that it meets: a record is written some ten times in a job's life.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(values.pop("later") | values, default=_plain, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Job":
        """The job that `to_json` wrote."""
        raw = json.loads(text)
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in raw.items() if name in known}
        values["later"] = {name: value for name, value in raw.items() if name not in known}
        for name in _MOMENTS:
            if values.get(name):
                values[name] = datetime.fromisoformat(values[name])
        values["image"] = ImageFacts(**values["image"])
        values["state"] = State(values["state"])
        values["delivery"] = Delivery(values["delivery"])
        values["priority"] = Priority(values["priority"])
        values["members"] = tuple(values.get("members", ()))
        return cls(**values)


def now() -> datetime:
    """The present moment in UTC, to the millisecond, which is what records and clients see."""
    moment = datetime.now(UTC)
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, ImageFacts):
        return asdict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")


def moment_text(moment: datetime) -> str:
    """`moment` as ISO 8601 in UTC with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
