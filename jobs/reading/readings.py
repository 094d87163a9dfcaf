"""Keeps the readings in the object store, beside their jobs. They outlive Redis, and end with their job.

jobs/<job id>/readings/<reading id>/      the record, changed by compare-and-set
readings/jobs/<reading id>                the id of its job
readings/queue/<group>/<due>-<job id>.<reading id>   empty; while a reader of the group may work on it
readings/signed/<reader>/<time>-<reading id>   empty; what the reader has signed, the last one first
due/<day>/<time>-<reading id>.<job id>    the sweeper checks this reading then
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from ulid import ULID

from jobs.reading.figures import shown
from jobs.reading.notices import NoticeIndex, Stage
from jobs.reading.policy import ReadingPolicy
from jobs.reading.reading import DUE_SECONDS, KEPT_OPEN, Reading
from jobs.reading.reading_json import reading_from_json, reading_to_json
from jobs.reading.states import Mode
from jobs.record.errors import Conflict, NotStored, QueueUnavailable
from jobs.record.ids import is_id, new_id
from jobs.record.job import Job, moment_text, now
from jobs.record.states import Priority, State
from jobs.redis.client import translated
from jobs.redis.view import CHANGES
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

_QUEUES = "readings/queue/"
FOLLOW_UP = timedelta(seconds=30)
"""Time after which the sweeper makes up for what a process that died after a change had left to do."""
_POINTERS = "readings/jobs/"
_LAST_MOMENT = 10**13
"""In milliseconds. A moment counts down to it in the names of an index whose last entry comes first."""
MOST_OPEN = 500
"""Most open readings of a group that are shown at once, those due first."""


def reading_id_of(job: Job) -> str:
    """Return the id of the reading that a job asks for itself. It is always the same."""
    made = ULID.from_str(job.id.removeprefix("job_")).bytes[:6]
    return f"reading_{ULID(made + hashlib.sha256(f'{job.id} reading'.encode()).digest()[:10])}"


def arbitration_id_of(reading: Reading) -> str:
    """Return the id of the reading that decides the disagreement of this one. It is always the same."""
    made = ULID.from_str(reading.id.removeprefix("reading_")).bytes[:6]
    return f"reading_{ULID(made + hashlib.sha256(f'{reading.id} arbitration'.encode()).digest()[:10])}"


def reading_due(name: str) -> tuple[str, str] | None:
    """Return the ids of reading and job that an entry of the due index names; None where it names none."""
    reading_id, _, job_id = name.partition(".")
    return (reading_id, job_id) if is_id("reading", reading_id) and is_id("job", job_id) else None


class Readings:
    """The readings. Every method may raise StoreUnavailable, and QueueUnavailable where it changes one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._objects = ledger.objects
        self._records = ledger.records
        self._notices = NoticeIndex(ledger.objects)

    def request(
        self,
        job: Job,
        policy: ReadingPolicy,
        reading_id: str | None = None,
        arbitrates: Reading | None = None,
        **wishes: Any,
    ) -> Reading:
        """Store a new reading of the job, and return it; the one of this id where it is stored already.

        `wishes` may have `priority`, `due_at`, `question` and `callback_url`.
        """
        if reading_id:
            with suppress(NotStored):
                return self.read(reading_id)
        at = now()
        priority = wishes.pop("priority", None) or job.priority
        due_at = wishes.pop("due_at", None) or at + timedelta(seconds=DUE_SECONDS[Priority(priority)])
        reading = Reading(
            id=reading_id or new_id("reading"),
            job=job.id,
            client=job.client,
            groups=policy.groups,
            # Who decides a disagreement has to see both sides of it.
            mode=Mode.ASSISTED if arbitrates else policy.mode,
            priority=Priority(priority),
            requested_at=at,
            due_at=due_at,
            history=({"type": "requested", "at": moment_text(at), "reader": None},),
            arbitrates=arbitrates.id if arbitrates else None,
            excluded=(arbitrates.reader,) if arbitrates and arbitrates.reader else (),
            **wishes,
        )
        # Before the record: each leads to it, and is void without it.
        self._follow_up(reading, at + FOLLOW_UP)
        self._follow_up(reading, due_at)
        self._objects.put(_pointer(reading.id), job.id.encode())
        self._list(reading)
        self._notices.plan(reading)
        with suppress(Conflict):
            self._records.create(_key(reading.job, reading.id), reading_to_json(reading))
        if self._is_deleted(job.id):
            self.erase_of(job.id)
            raise NotStored(job.id)
        self._notices.put(reading.id, Stage.REQUESTED, at)
        self.show(reading)
        self._publish(reading)
        log.info("reading requested", extra={"job": job.id, "client": job.client})
        return self.read(reading.id)

    def read(self, reading_id: str) -> Reading:
        """Return the reading. Raises NotStored."""
        if not is_id("reading", reading_id):
            raise NotStored(reading_id)
        return self._of(self._objects.get(_pointer(reading_id)).decode(), reading_id)

    def of_job(self, job_id: str) -> list[Reading]:
        """Return the readings of a job, oldest first."""
        prefix = _folder(job_id)
        ids = dict.fromkeys(key.removeprefix(prefix).split("/")[0] for key in self._objects.keys(prefix))
        found = []
        for reading_id in ids:
            with suppress(NotStored):
                found.append(self._of(job_id, reading_id))
        return sorted(found, key=lambda reading: reading.requested_at)

    def job_ids(self) -> list[str]:
        """Return the ids of the jobs that have readings, those whose first reading is oldest first."""
        found: dict[str, None] = {}
        for key in self._objects.keys(_POINTERS):
            with suppress(NotStored):  # It was erased meanwhile.
                found[self._objects.get(key).decode()] = None
        return list(found)

    def open(self, groups: Iterable[str]) -> list[Reading]:
        """Return the open readings that readers of these groups may work on, those due first."""
        ids: dict[tuple[str, str], str] = {}
        for group in groups:
            prefix = _queue(group)
            for key in islice(self._objects.keys(prefix), MOST_OPEN):
                due, _, names = key.removeprefix(prefix).partition("-")
                job_id, _, reading_id = names.partition(".")
                ids[job_id, reading_id] = due
        found = []
        for names in sorted(ids, key=lambda one: (ids[one], one))[:MOST_OPEN]:
            with suppress(NotStored):
                reading = self._of(*names)
                if reading.state.open:
                    found.append(reading)
        return found

    def signed_by(self, reader_id: str, most: int) -> list[Reading]:
        """Return the readings that a reader has signed, at most so many, those signed last first."""
        prefix = _signed_folder(reader_id)
        found = []
        for key in islice(self._objects.keys(prefix), most):
            with suppress(NotStored):
                found.append(self.read(key.rpartition("-")[2]))
        return found

    def change(self, reading: Reading, change: Callable[[Reading], Reading]) -> Reading:
        """Write what `change` makes of the latest version of a reading, and return it.

        Raises what `change` raises, and NotStored.
        """

        def changed(record: bytes | None) -> bytes:
            if record is None:
                raise NotStored(reading.id)
            return reading_to_json(change(reading_from_json(record)))

        self._follow_up(reading, now() + FOLLOW_UP)
        written = self._records.change(_key(reading.job, reading.id), changed)
        assert written
        after = reading_from_json(written)
        self._list(after)
        self.show(after)
        self._publish(after)
        return after

    def save(self, reading: Reading, change: Callable[[Reading], Reading]) -> Reading:
        """Write a change that no one is told of, such as a draft. As `change` otherwise."""

        def changed(record: bytes | None) -> bytes:
            if record is None:
                raise NotStored(reading.id)
            return reading_to_json(change(reading_from_json(record)))

        written = self._records.change(_key(reading.job, reading.id), changed)
        assert written
        return reading_from_json(written)

    def show(self, reading: Reading) -> None:
        """Show this version in the figures of the readings, unless Redis does not answer."""
        with suppress(QueueUnavailable):  # The sweeper shows it again.
            self._ledger.view.reading_figures.show(shown(reading))

    def listed(self) -> Iterator[str]:
        """Return the ids of all readings that readers may work on; one id may come several times."""
        return (key.rpartition("-")[2] for key in self._objects.keys(_QUEUES))

    def check_again(self, reading: Reading) -> datetime | None:
        """Return when the sweeper has to check an open reading next; None for any other."""
        if not reading.state.open:
            return None
        times = [reading.due_at, reading.due_at + KEPT_OPEN, reading.lapses_at()]
        return min((time for time in times if time and time > now()), default=now() + FOLLOW_UP)

    def note_seen(self, job_id: str, reader_id: str) -> None:
        """Write down that this reader has seen the model's answer to the job."""
        if not self.has_seen(job_id, reader_id):
            self._objects.put(f"jobs/{job_id}/answer-seen/{reader_id}", b"")

    def has_seen(self, job_id: str, reader_id: str) -> bool:
        """Return whether this reader has seen the model's answer to the job."""
        return self._objects.exists(f"jobs/{job_id}/answer-seen/{reader_id}")

    def erase_of(self, job_id: str) -> None:
        """Erase all readings of a job that is deleted."""
        for reading in self.of_job(job_id):
            for group in reading.groups:
                self._objects.delete(_listed(group, reading))
            if reading.reports:
                self._objects.delete(_signed(reading))
            self._objects.delete(_pointer(reading.id))
            self._notices.forget(reading.id)
            with suppress(QueueUnavailable):
                self._ledger.view.reading_figures.hide(reading.id)
            self._records.change(_key(job_id, reading.id), lambda _: None, at_any_price=True)

    def _of(self, job_id: str, reading_id: str) -> Reading:
        record = self._records.read(_key(job_id, reading_id))
        if record is None:
            raise NotStored(reading_id)
        return reading_from_json(record)

    def _list(self, reading: Reading) -> None:
        if reading.reports:
            self._objects.put(_signed(reading), b"")
        for group in reading.groups:
            if reading.state.open:
                self._objects.put(_listed(group, reading), b"")
            else:
                self._objects.delete(_listed(group, reading))

    def _follow_up(self, reading: Reading, at: datetime) -> None:
        self._ledger.due_index.put(f"{reading.id}.{reading.job}", at)

    def _publish(self, reading: Reading) -> None:
        """Wake those who wait for a change of this reading, or of its groups' worklists."""
        redis = self._ledger.view.redis
        with suppress(QueueUnavailable), translated(redis):  # They look again by themselves.
            for name in (reading.id, reading.job, *(worklist_name(group) for group in reading.groups)):
                redis.publish(CHANGES, name)

    def _is_deleted(self, job_id: str) -> bool:
        try:
            return self._ledger.read(job_id).state is State.ERASED
        except NotStored:
            return True


def worklist_name(group: str) -> str:
    """Return the name under which changes of a group's worklist are published."""
    return f"worklist:{group}"


def _folder(job_id: str) -> str:
    return f"jobs/{job_id}/readings/"


def _key(job_id: str, reading_id: str) -> str:
    return f"{_folder(job_id)}{reading_id}/"


def _pointer(reading_id: str) -> str:
    return f"{_POINTERS}{reading_id}"


def _queue(group: str) -> str:
    return f"{_QUEUES}{group}/"


def _listed(group: str, reading: Reading) -> str:
    return f"{_queue(group)}{reading.due_at:%Y%m%dT%H%M%S}-{reading.job}.{reading.id}"


def _signed_folder(reader_id: str) -> str:
    return f"readings/signed/{reader_id}/"


def _signed(reading: Reading) -> str:
    first = reading.reports[0]
    signed_at = datetime.fromisoformat(first["at"]).timestamp()
    return f"{_signed_folder(first['reader'])}{_LAST_MOMENT - round(signed_at * 1000):013d}-{reading.id}"
