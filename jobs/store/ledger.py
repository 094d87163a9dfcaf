"""The ledger: every version of every job's record in the object store, each written once and never changed.

Keys, all below one bucket:

    pending/<job id>                  the job's first record; there while something is left to do for the job
    clients/<client>/jobs/<inverted>  the radiograph as submitted; lists a client's jobs newest first
    clients/<client>/studies/<inverted>  empty; there once a study and all of its jobs are accepted
    clients/<client>/claims/<key|id>-<hash>/  which job an idempotency key or an own id stands for
    jobs/<job id>/ledger/<version>    the job's record at that version, from the second on, JSON
    unseen/<job id>                   empty; the sweeper has to put this job on the agenda in Redis
    due/<day>/<time>-<job id>         empty; the job has to be looked at then (or an upload, or a probe)
    dead-letters/<job id>             empty; there while an operator may have the job retried

A study (see jobs.record.study) has a record, a marker and an end as a job has, under its own id.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from jobs.record.errors import Conflict, NotStored, QueueUnavailable, StoreRefused, StoreUnavailable
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.redis.append_only_file import AppendOnlyFile
from jobs.redis.view import LOCK_SECONDS, WRITE_SECONDS, View, WriteLock
from jobs.store.claims import Claims
from jobs.store.clock import Clock
from jobs.store.due_index import DueIndex
from jobs.store.objects import Objects
from jobs.store.records import Records
from jobs.store.unseen import Unseen

log = logging.getLogger(__name__)

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # pragma: allowlist secret
CHUNK = 100
"""Jobs asked of Redis at once."""

FOLDERS = {"job": "jobs", "study": "studies"}
INVERTED = str.maketrans(_CROCKFORD, _CROCKFORD[::-1])


class Ledger:
    """The jobs' records. The object store holds the truth, the view in Redis follows it."""

    def __init__(self, objects: Objects, view: View, may_delete: bool = True) -> None:
        """`may_delete`: whether this process may delete objects; where it may not, the sweeper does."""
        self.objects = objects
        self._may_delete = may_delete
        self.view = view
        self.due_index = DueIndex(objects)
        self.unseen = Unseen(objects)
        self.clock = Clock(objects, view.redis)
        self.append_only_file = AppendOnlyFile(view.redis)
        self.records = Records(objects, view.redis)
        self.claims = Claims(self.records)

    def accept(self, job: Job, image: bytes) -> None:
        """Make `job` (version 1) and its image durable; the job is accepted when this returns.

        The marker goes first, with the record, and the image last: there is a job once its image is there.
        Whatever dies in between leaves a marker that leads the sweeper to the rest. Raises StoreUnavailable:
        the job is not accepted. A Redis that does not answer is no error: the sweeper brings the job there.
        """
        self.mark(job)
        if job.retention_seconds is not None:
            # No sooner can it be over: the purger looks then, and knows when it ended.
            self.due_index.put(job.id, job.created_at + timedelta(seconds=job.retention_seconds))
        self.objects.put(_image(job), image)
        self._show(job)

    def accept_study(self, study: Job, members: Iterable[tuple[Job, bytes]]) -> None:
        """Make a study and its jobs, each with its image, durable: all are accepted when this returns.

        As with a job, there is a study once what stands in the place of its image is there. Whatever dies
        before leaves a marker, with the ids of the jobs. Raises StoreUnavailable: the study is not accepted.
        """
        self.mark(study)
        for job, image in members:
            # Of a study that is taken in again some may be there, and beyond their first version.
            if self.objects.size(_image(job)) != job.image.size:
                self.accept(job, image)
        self.accept(study, b"")

    def append(self, job: Job) -> Job:
        """Write `job` as the next version of its record and show it: a compare-and-set.

        Raises Conflict where another has written this version: the caller's picture of it is out of date.
        Raises QueueUnavailable or StoreUnavailable where either does not answer; the same `job` may then be
        appended again, whether it was written or not. Raises StoreRefused where it can never be written.
        """
        key, record = _version(job.id, job.version), job.to_json()
        opens = time.monotonic() + LOCK_SECONDS
        gate = self.view.lock_version(job.id, job.version, hashlib.sha256(record).hexdigest())
        if gate is WriteLock.SHUT:
            raise Conflict(f"{job.id} version {job.version}")
        try:
            if gate is not WriteLock.OPEN and self._gone_on(job):
                raise Conflict(f"{job.id} version {job.version}")
            if job.dead_letter:
                # First, as a marker is: it may lead to a job that is none, and never the other way round.
                self.objects.put(_dead_letter(job.id), b"")
            if time.monotonic() > opens - WRITE_SECONDS:
                raise StoreUnavailable("the object store is too slow")
            self.objects.put_new(key, record)
        except Conflict:
            # What is there may be this very record, its write's answer lost on the way.
            if not self.objects.exists(key) or self.objects.get(key) != record:
                raise
        except StoreRefused:
            # So nothing was written, and another version may be in its place.
            self.view.open_gate(job.id, job.version)
            raise
        self._show(job)
        return job

    def _gone_on(self, job: Job) -> bool:
        """Whether this version is there, or a later one: of a deleted job only the tombstone is left."""
        written = self.objects.keys(f"jobs/{job.id}/ledger/", after=_version(job.id, job.version - 1))
        return next(written, None) is not None

    def dead_letters(self) -> Iterator[Job]:
        """The jobs that were given up through no fault of the submission, oldest first."""
        for job_id in self.dead_letter_ids():
            with suppress(NotStored):
                job = self.read(job_id)
                if job.dead_letter:
                    yield job

    def dead_letter_ids(self) -> Iterator[str]:
        """The ids of these jobs; one may be among them that is none (any more)."""
        return (key.removeprefix("dead-letters/") for key in self.objects.keys("dead-letters/"))

    def retry(self, job: Job) -> Job:
        """Put a dead letter back into its line. Raises IllegalMove where it is none, and as `append` does."""
        retried = job.retried(now())
        self.mark(job)
        if job.study:
            self._reopen(job.study)
        self.append(retried)
        self.mark(job)  # Once more: whoever settled it just now has taken the first one away.
        self.objects.delete(_dead_letter(job.id))
        return retried

    def _reopen(self, study_id: str) -> None:
        # Before its job is: a study that is open without need is concluded again by the sweeper.
        study = self.read(study_id)
        if study.state in (State.SUCCEEDED, State.FAILED):
            self.mark(study)
            self.append(study.reopened())

    def redeliver(self, job: Job) -> Job:
        """Let the callback be due at once. Raises IllegalMove, and as `append` does."""
        again = job.redelivered(now())
        self.mark(job)
        self.append(again)
        self.mark(job)  # Once more: whoever settled it just now has taken the first one away.
        return again

    def deliveries(self, job: Job) -> list[dict[str, Any]]:
        """What came of every call of the job's receiver, first to last."""
        return [version.call for version in self.history(job.id) if version.call]

    def history(self, job_id: str) -> list[Job]:
        """Every version of a job from the second on; the first where there is no other. Raises NotStored."""
        keys = list(self.objects.keys(f"jobs/{job_id}/ledger/"))
        return [Job.from_json(self.objects.get(key)) for key in keys] or [self._accepted(job_id)]

    def current(self, job_id: str) -> Job:
        """The job as the view shows it, from the ledger where the view does not. Raises NotStored."""
        try:
            shown = self.view.get_many([job_id])[0]
        except QueueUnavailable:
            shown = None
        return shown or self.read(job_id)

    def current_many(self, job_ids: Sequence[str]) -> Iterator[Job]:
        """The jobs under `job_ids` as `current` has them, in the same order, without those not stored."""
        for start in range(0, len(job_ids), CHUNK):
            chunk = job_ids[start : start + CHUNK]
            try:
                shown = self.view.get_many(chunk)
            except QueueUnavailable:
                shown = [None] * len(chunk)
            for job_id, job in zip(chunk, shown, strict=True):
                with suppress(NotStored):
                    yield job or self.read(job_id)

    def read(self, job_id: str) -> Job:
        """The job as the ledger has it: the truth. Raises NotStored."""
        try:
            return self._latest(job_id)
        except NotStored:
            # Between listing and reading it may have gone on, or been deleted.
            return self._latest(job_id)

    def _latest(self, job_id: str) -> Job:
        latest = ""
        for latest in self.objects.keys(f"jobs/{job_id}/ledger/"):  # noqa: B007 - the last one counts
            pass
        return Job.from_json(self.objects.get(latest)) if latest else self._accepted(job_id)

    def _accepted(self, job_id: str) -> Job:
        job = self.marked(job_id)
        # Of another size: a server that kept the beginning of an upload which broke off.
        if self.objects.size(_image(job)) != job.image.size:
            raise NotStored(job_id)
        return job

    def marked(self, job_id: str) -> Job:
        """The record in a marker: the first one, or that of whoever marked it last. Raises NotStored."""
        return Job.from_json(self.objects.get(_marker(job_id)))

    def image(self, job: Job) -> bytes:
        """The radiograph as it was submitted. Raises NotStored."""
        return self.objects.get(_image(job))

    def image_in_pieces(self, job: Job) -> Iterator[bytes]:
        """The same, a piece at a time. Raises NotStored where the first one is asked for."""
        return self.objects.pieces(_image(job), job.image.size)

    def mark(self, job: Job) -> None:
        """Let the sweeper look at this job until nothing is left to do: before that is begun.

        The agenda leads it to the job soon. Without Redis an object does, until the sweeper has seen it.
        """
        try:
            self.view.agenda.add(job.id)
        except QueueUnavailable:
            self.unseen.add(job.id)
        self.objects.put(_marker(job.id), job.to_json(), "application/json")

    def settle(self, job: Job) -> None:
        """Nothing is left to do for this job: take its marker away, once the view shows how it ended.

        Without its marker nobody looks at the job again. Raises QueueUnavailable; the sweeper comes back.
        """
        self.view.put(job)
        if self._may_delete:
            self.objects.delete(_marker(job.id))
            self.view.agenda.forget(job.id, job.version)

    def pending(self) -> Iterator[str]:
        """The ids of the jobs with something left to do, oldest first; behind them those of the studies."""
        return (key.removeprefix("pending/") for key in self.objects.keys("pending/"))

    def of_client(self, client: str, after: str | None) -> Iterator[str]:
        """The ids of a client's jobs, newest first, beginning behind the job `after`."""
        prefix = f"clients/{client}/jobs/"
        for key in self.objects.keys(prefix, after=_listed(client, after) if after else ""):
            yield f"job_{key.removeprefix(prefix).translate(INVERTED)}"

    def erase_leftovers(self, job_id: str) -> None:
        """Remove what an interrupted submission left: objects that belong to no record."""
        with suppress(NotStored):  # Another sweeper was faster.
            self._erase(self.marked(job_id))
        self.view.agenda.forget(job_id)

    def erase(self, tombstone: Job) -> None:
        """Remove all that lies under this id, in both places; only the tombstone stays, in both."""
        self.view.put(tombstone)
        self.append_only_file.note()
        self._erase(tombstone)
        self.view.agenda.forget(tombstone.id)

    def _erase(self, job: Job) -> None:
        """Remove all but the very version `job`; the marker last, as its record knows of the claim."""
        with suppress(NotStored):
            self.claims.release(self.marked(job.id))
        own = _version(job.id, job.version)
        records = [key for key in self.objects.keys(f"jobs/{job.id}/") if key != own]
        for key in [*records, _image(job), _dead_letter(job.id), _marker(job.id)]:
            self.objects.delete(key)

    def _show(self, job: Job) -> None:
        try:
            self.view.put(job)
        except QueueUnavailable:
            log.warning("Redis does not answer; the sweeper will show this version", extra={"job": job.id})


def _marker(job_id: str) -> str:
    return f"pending/{job_id}"


def _dead_letter(job_id: str) -> str:
    return f"dead-letters/{job_id}"


def _image(job: Job) -> str:
    return _listed(job.client, job.id)


def _version(job_id: str, version: int) -> str:
    return f"jobs/{job_id}/ledger/{version:06d}"


def _listed(client: str, job_id: str) -> str:
    # S3 lists in ascending order; inverted, a later id sorts first.
    kind, _, ulid = job_id.partition("_")
    return f"clients/{client}/{FOLDERS[kind]}/{ulid.translate(INVERTED)}"
