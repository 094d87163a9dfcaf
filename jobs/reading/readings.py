"""Keeps the readings in the object store, beside their jobs. They outlive Redis, and end with their job.

    jobs/<job id>/readings/<reading id>/    the record, changed by compare-and-set
    jobs/<job id>/answer-seen/<reader id>   empty; this reader has seen the model's answer
    due/<day>/<time>-<reading id>.<job id>  the sweeper checks this reading then

jobs.reading.reading_index has the indexes.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from ulid import ULID

from jobs.reading.figures import shown
from jobs.reading.notices import NoticeIndex, Stage
from jobs.reading.policy import ReadingPolicy
from jobs.reading.reading import DUE_SECONDS, KEPT_OPEN, Reading
from jobs.reading.reading_index import Queued, ReadingIndex
from jobs.reading.reading_json import reading_from_json, reading_to_json
from jobs.reading.states import Mode
from jobs.record.errors import Conflict, NotStored, QueueUnavailable
from jobs.record.ids import is_id
from jobs.record.job import Job, moment_text, now
from jobs.record.states import Priority, State
from jobs.redis.client import translated
from jobs.redis.view import CHANGES
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

FOLLOW_UP = timedelta(seconds=30)
"""Time after which the sweeper makes up for what a process that died after a change had left to do."""
_AT_ONCE = 16
"""Records that are read at the same time."""


def reading_id_of(job: Job, number: int = 0) -> str:
    """Return the id of a job's reading by its number. Two requests at once therefore make one reading."""
    return _derived_id(job.id.removeprefix("job_"), f"{job.id} reading {number}")


def arbitration_id_of(reading: Reading) -> str:
    """Return the id of the reading that decides the disagreement of this one. It is always the same."""
    return _derived_id(reading.id.removeprefix("reading_"), f"{reading.id} arbitration")


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
        self.index = ReadingIndex(ledger.objects)

    def request(
        self,
        job: Job,
        policy: ReadingPolicy,
        reading_id: str | None = None,
        arbitrates: Reading | None = None,
        **wishes: Any,
    ) -> Reading:
        """Store the reading of the job that has this id, unless it is stored already, and return it.

        `reading_id` is that of the job's first reading, or of the arbitration, unless given. `wishes` may
        have `priority`, `due_at`, `question` and `callback_url`. Raises NotStored for a deleted job.
        """
        reading_id = reading_id or (arbitration_id_of(arbitrates) if arbitrates else reading_id_of(job))
        with suppress(NotStored):
            return self.of(job.id, reading_id)
        at = now()
        priority = Priority(wishes.pop("priority", None) or job.priority)
        due_at = wishes.pop("due_at", None) or at + timedelta(seconds=DUE_SECONDS[priority])
        reading = Reading(
            id=reading_id,
            job=job.id,
            client=job.client,
            groups=policy.groups,
            # Who decides a disagreement has to see both sides of it.
            mode=Mode.ASSISTED if arbitrates else policy.mode,
            priority=priority,
            requested_at=at,
            due_at=due_at,
            history=({"type": "requested", "at": moment_text(at), "reader": None},),
            arbitrates=arbitrates.id if arbitrates else None,
            excluded=(arbitrates.reader,) if arbitrates and arbitrates.reader else (),
            **wishes,
        )
        # Before the record: they lead the sweeper to it, which does the rest where this process dies.
        self._follow_up(reading, at + FOLLOW_UP)
        self._follow_up(reading, due_at)
        self._notices.plan(reading)
        with suppress(Conflict):
            self._records.create(_key(job.id, reading_id), reading_to_json(reading))
        reading = self.of(job.id, reading_id)  # Another process may have been faster.
        self.index.put(reading)
        if self._is_deleted(job.id):
            self.erase_of(job.id)
            raise NotStored(job.id)
        # Once more: delivery has dropped the entry if it came before the record.
        self._notices.put(reading.id, Stage.REQUESTED, at)
        self.show(reading)
        self._publish(reading)
        log.info("reading requested", extra={"job": job.id, "client": job.client})
        return reading

    def read(self, reading_id: str) -> Reading:
        """Return the reading. Raises NotStored."""
        return self.of(self.index.job_of(reading_id), reading_id)

    def of(self, job_id: str, reading_id: str) -> Reading:
        """Return the reading of this job. Raises NotStored."""
        record = self._records.read(_key(job_id, reading_id))
        if record is None:
            raise NotStored(reading_id)
        return reading_from_json(record)

    def of_job(self, job_id: str) -> list[Reading]:
        """Return the readings of a job, oldest first."""
        prefix = _folder(job_id)
        ids = dict.fromkeys(key.removeprefix(prefix).split("/")[0] for key in self._objects.keys(prefix))
        found = []
        for reading_id in ids:
            with suppress(NotStored):
                found.append(self.of(job_id, reading_id))
        return sorted(found, key=lambda reading: reading.requested_at)

    def open(self, groups: Iterable[str]) -> list[Reading]:
        """Return the open readings that readers of these groups may work on, those due first."""
        queued = sorted({entry for group in groups for entry in self.index.queue(group)})

        def read(entry: Queued) -> Reading | None:
            with suppress(NotStored):
                return self.of(entry.job_id, entry.reading_id)
            return None

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(read, queued))
        return [reading for reading in found if reading and reading.state.open]

    def signed_by(self, reader_id: str, most: int) -> list[Reading]:
        """Return the readings that a reader has signed, at most so many, those signed last first."""
        found = []
        for reading_id in self.index.signed_by(reader_id, most):
            with suppress(NotStored):
                found.append(self.read(reading_id))
        return found

    def change(self, reading: Reading, change: Callable[[Reading], Reading]) -> Reading:
        """Write what `change` makes of the latest version of a reading, and return it.

        Raises what `change` raises, and NotStored.
        """
        self._follow_up(reading, now() + FOLLOW_UP)
        after = self.save(reading, change)
        self.index.put(after)
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

    def check_again(self, reading: Reading, at: datetime) -> datetime | None:
        """Return when the sweeper, which checked an open reading at this time, has to check it next.

        None for any other.
        """
        if not reading.state.open:
            return None
        times = [reading.due_at, reading.due_at + KEPT_OPEN, reading.lapses_at()]
        return min((time for time in times if time and time > at), default=at + FOLLOW_UP)

    def check_soon(self, job_id: str) -> None:
        """Have the sweeper check the open readings of a job that is about to end, or has just ended."""
        for reading in self.of_job(job_id):
            if reading.state.open:
                self._follow_up(reading, now() + FOLLOW_UP)

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
            self.index.remove(reading)
            self._notices.forget(reading)
            with suppress(QueueUnavailable):
                self._ledger.view.reading_figures.hide(reading.id)
            self._records.change(_key(job_id, reading.id), lambda _: None, at_any_price=True)

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


def _derived_id(ulid: str, text: str) -> str:
    return f"reading_{ULID(ULID.from_str(ulid).bytes[:6] + hashlib.sha256(text.encode()).digest()[:10])}"


def _folder(job_id: str) -> str:
    return f"jobs/{job_id}/readings/"


def _key(job_id: str, reading_id: str) -> str:
    return f"{_folder(job_id)}{reading_id}/"
