"""Keeps the ledger: every version of every job's record in the object store, written once and never changed.

jobs.store.ledger_keys names its keys.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from jobs.record.errors import Conflict, NotStored, QueueUnavailable, StoreRefused, StoreUnavailable
from jobs.record.ids import digest_of, is_id
from jobs.record.job import LEFTOVER_GRACE, Job
from jobs.record.job_json import job_from_json, job_to_json
from jobs.redis.append_only_file import AppendOnlyFile
from jobs.redis.view import LOCK_SECONDS, WRITE_SECONDS, Send, View, WriteLock
from jobs.store.claims import Claims
from jobs.store.clock import Clock
from jobs.store.due_index import DueIndex
from jobs.store.ledger_keys import (
    DEAD_LETTERS,
    INVERTED,
    MARKERS,
    dead_letter_key,
    filed_key,
    image_key,
    listed_key,
    marker_key,
    records_key,
    score_key,
    scored_key,
    version_key,
)
from jobs.store.objects import Objects
from jobs.store.records import Records
from jobs.store.unseen import Unseen
from jobs.store.uploads import upload_keys

log = logging.getLogger(__name__)

CHUNK = 100
"""Jobs that are read from Redis at once."""


class Ledger:
    """The records of the jobs. The object store has the truth, and the view in Redis follows it."""

    def __init__(self, objects: Objects, view: View, may_delete: bool = True) -> None:
        """`may_delete`: whether this process may delete objects. The sweeper deletes what it may not."""
        self.objects = objects
        self.may_delete = may_delete
        self.view = view
        self.due_index = DueIndex(objects)
        self.unseen = Unseen(objects)
        self.clock = Clock(objects, view.redis)
        self.append_only_file = AppendOnlyFile(view.redis)
        self.records = Records(objects, view.redis)
        self.claims = Claims(self.records)

    def accept(self, job: Job, image: bytes, send: Send | None = None) -> int | None:
        """Store `job` (version 1) and its image, and return what `View.put` does. It is accepted on return.

        The marker is written first, with the record, and the image last: the job exists once its image does.
        A process that dies in between leaves a marker, which leads the sweeper to the rest. Without Redis it
        is accepted, and the sweeper shows and sends it later. Raises StoreUnavailable: it is not accepted.
        """
        self._mark_new(job)
        if job.retention_seconds is not None:
            # The earliest time at which it may be deleted. The purger then checks when the job ended.
            self.due_index.put(job.id, job.created_at + timedelta(seconds=job.retention_seconds))
        if job.filed_under:
            self.objects.put(filed_key(job.client, job.filed_under, job.id), b"")
        self.objects.put(image_key(job), image)
        return self._show(job, send)

    def accept_study(self, study: Job, members: Iterable[tuple[Job, bytes]]) -> None:
        """Store a study and its jobs, each with its image. All are accepted when this returns.

        A study has an empty object in place of an image, and exists once that object does. A process that
        dies before leaves a marker with the ids of the jobs. Raises StoreUnavailable: it is not accepted.
        """
        self._mark_new(study)
        for job, image in members:
            # At a second intake some jobs may be stored already, and beyond their first version.
            if self.objects.size(image_key(job)) != job.image.size:
                self.accept(job, image)
        self.accept(study, b"")

    def append(self, job: Job, send: Send | None = None) -> Job:
        """Write `job` as the next version of its record by compare-and-set, and return it.

        It is shown as by `View.put`. Raises Conflict where another process has written another record as
        this version, and QueueUnavailable or StoreUnavailable where a store does not answer; the same `job`
        may then be appended again, whether it was written or not. Raises StoreRefused where it can never
        be written.
        """
        key, record = version_key(job.id, job.version), job_to_json(job)
        ends, token = time.monotonic() + LOCK_SECONDS, hashlib.sha256(record).hexdigest()
        lock = self.view.lock_version(job.id, job.version, token)
        if lock is WriteLock.TAKEN:
            raise Conflict(f"{job.id} version {job.version}")
        try:
            if lock is not WriteLock.FREE and self.is_written(job):
                raise Conflict(f"{job.id} version {job.version}")
            if job.dead_letter:
                # Before the record: the list may name a job too many, and lacks no dead letter.
                self.objects.put(dead_letter_key(job.id), b"")
            if time.monotonic() > ends - WRITE_SECONDS:
                raise StoreUnavailable("the object store is too slow")
            self.objects.put_new(key, record)
        except Conflict:
            # The stored version may be this record: the answer to its write was lost.
            if not self.objects.exists(key) or self.objects.get(key) != record:
                raise
        except StoreRefused:
            # Nothing was written, so another process may write this version.
            self.view.unlock_version(job.id, job.version, token)
            raise
        self._show(job, send)
        return job

    def is_written(self, job: Job) -> bool:
        """Return whether this version is stored, or a later one: a deleted job has only its tombstone."""
        written = self.objects.keys(records_key(job.id), after=version_key(job.id, job.version - 1))
        return next(written, None) is not None

    def dead_letters(self) -> Iterator[Job]:
        """Return the jobs that failed through no fault of the submission, oldest first."""
        for job_id in self.dead_letter_ids():
            with suppress(NotStored):
                job = self.read(job_id)
                if job.dead_letter:
                    yield job

    def dead_letter_ids(self) -> Iterator[str]:
        """Return the ids of these jobs, and perhaps ids of jobs that are no dead letters (any more)."""
        return (key.removeprefix(DEAD_LETTERS) for key in self.objects.keys(DEAD_LETTERS))

    def deliveries(self, job: Job) -> list[dict[str, Any]]:
        """Return the outcome of every call of the job's receiver, first to last."""
        return [version.call for version in self.history(job.id) if version.call]

    def history(self, job_id: str) -> list[Job]:
        """Return the versions of a job from the second on, or its only one. Raises NotStored."""
        keys = list(self.objects.keys(records_key(job_id)))
        return [job_from_json(self.objects.get(key)) for key in keys] or [self._accepted(job_id)]

    def current(self, job_id: str) -> Job:
        """Return the job from the view, or from the ledger where the view lacks it. Raises NotStored."""
        try:
            shown = self.view.get_many([job_id])[0]
        except QueueUnavailable:
            shown = None
        return shown or self.read(job_id)

    def current_many(self, job_ids: Sequence[str]) -> Iterator[Job]:
        """Return the jobs of these ids as `current` does, in the same order, without those not stored."""
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
        """Return the job from the ledger. Raises NotStored."""
        try:
            return self._latest(job_id)
        except NotStored:
            # A later version may have been written, or the job deleted, since the listing.
            return self._latest(job_id)

    def _latest(self, job_id: str) -> Job:
        latest = ""
        for latest in self.objects.keys(records_key(job_id)):  # noqa: B007 - the last one counts
            pass
        return job_from_json(self.objects.get(latest)) if latest else self._accepted(job_id)

    def _accepted(self, job_id: str) -> Job:
        job = self.marked(job_id)
        # Another size: some servers keep the beginning of an upload that broke off.
        if self.objects.size(image_key(job)) != job.image.size:
            raise NotStored(job_id)
        return job

    def marked(self, job_id: str) -> Job:
        """Return the record in a job's marker, as it was marked last. Raises NotStored."""
        return job_from_json(self.objects.get(marker_key(job_id)))

    def image(self, job: Job) -> bytes:
        """Return the radiograph as it was submitted. Raises NotStored."""
        return self.objects.get(image_key(job))

    def image_in_pieces(self, job: Job) -> Iterator[bytes]:
        """Return the same in pieces. Raises NotStored where the first piece is read."""
        return self.objects.pieces(image_key(job), job.image.size)

    def mark(self, job: Job) -> None:
        """Have the sweeper check this job until nothing is left to do. To be called before that is begun.

        The agenda leads the sweeper to the job. Without Redis an object under `unseen/` does.
        """
        try:
            self.view.agenda.add(job.id)
        except QueueUnavailable:
            self.unseen.add(job.id)
        self.objects.put(marker_key(job.id), job_to_json(job), "application/json")

    def _mark_new(self, job: Job) -> None:
        """Mark a job that is to be accepted. Raises StoreUnavailable."""
        try:
            self.mark(job)
        except StoreUnavailable:
            # No job was accepted. The server may still have written the marker, so the sweeper looks for
            # leftovers once. In an outage thousands are refused: more checks would delay other jobs.
            with suppress(QueueUnavailable):
                if self.view.get_many([job.id]) == [None]:  # Else another request has stored it.
                    self.view.agenda.postpone(job.id, LEFTOVER_GRACE)
            raise

    def settle(self, job: Job) -> None:
        """Remove the marker of a job for which nothing is left to do, once the view shows how it ended.

        The sweeper checks no job without a marker. Raises QueueUnavailable; the sweeper then tries again.
        """
        self.view.put(job)
        if self.may_delete:
            self.objects.delete(marker_key(job.id))
            self.view.agenda.forget(job.id, job.version)

    def pending(self) -> Iterator[str]:
        """Return the ids of the jobs with a marker, oldest first, and then those of the studies."""
        return (key.removeprefix(MARKERS) for key in self.objects.keys(MARKERS))

    def of_client(self, client: str, after: str | None) -> Iterator[str]:
        """Return the ids of a client's jobs, newest first, those behind the job `after` only."""
        prefix = f"clients/{client}/jobs/"
        for key in self.objects.keys(prefix, after=listed_key(client, after) if after else ""):
            yield f"job_{key.removeprefix(prefix).translate(INVERTED)}"

    def of_study_uid(self, client: str, uid: str, most: int) -> list[str]:
        """Return the ids of a client's jobs whose images have this Study Instance UID, oldest first.

        Of more than `most` those are returned that were submitted last.
        """
        prefix = filed_key(client, digest_of(uid))
        found = (key.removeprefix(prefix) for key in self.objects.keys(prefix))
        return [job_id for job_id in found if is_id("job", job_id)][-most:]  # Older studies are listed, too.

    def release(self, job: Job) -> None:
        """Remove what its record alone names: its claim, its entry under a Study Instance UID, its upload."""
        self.claims.release(job)
        if job.upload:
            for key in upload_keys(job.client, job.upload):
                self.objects.delete(key)
        if job.filed_under:
            self.objects.delete(filed_key(job.client, job.filed_under, job.id))

    def erase_leftovers(self, job_id: str) -> None:
        """Erase what an interrupted submission left: objects that belong to no record."""
        with suppress(NotStored):  # Another sweeper was faster.
            job = self.marked(job_id)
            self.release(replace(job, upload=None))  # Its client may submit the upload once more.
            self._erase(job)
        self.view.agenda.forget(job_id)

    def erase(self, tombstone: Job) -> None:
        """Erase all under this id in the object store and in Redis, except for the tombstone."""
        self.view.put(tombstone)
        self.append_only_file.count_erasure()
        with suppress(NotStored):
            self.release(self.marked(tombstone.id))
        self._erase(tombstone)
        self.view.agenda.forget(tombstone.id)

    def _erase(self, job: Job) -> None:
        """Remove all objects except the version `job`. The marker goes last: its record has the names."""
        own = version_key(job.id, job.version)
        records = [key for key in self.objects.keys(f"jobs/{job.id}/") if key != own]
        scores = score_key(job.id, "")
        listed = [scored_key(key.removeprefix(scores), job.id) for key in records if key.startswith(scores)]
        for key in [*listed, *records, image_key(job), dead_letter_key(job.id), marker_key(job.id)]:
            self.objects.delete(key)

    def _show(self, job: Job, send: Send | None) -> int | None:
        try:
            return self.view.put(job, send)
        except QueueUnavailable:
            log.warning("Redis does not answer; the sweeper will show this version", extra={"job": job.id})
            return None
