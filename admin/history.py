"""Tells what the stores know of one job or study: versions, deliveries, acts, and where it is now."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Any, TypeVar

from jobs.record.errors import QueueUnavailable, StoreUnavailable, TransientError
from jobs.record.ids import made_at
from jobs.record.job import Job, moment_text, now
from jobs.record.states import Delivery, Kind, State
from jobs.record.study import is_member
from jobs.store.ledger_keys import dead_letter_key, marker_key
from jobs.store.stores import Stores

Line = dict[str, Any]
"""One thing that is told: its time `at` (None where it has none), its `kind`, and more."""
Answer = TypeVar("Answer")

_STORE = {QueueUnavailable: "redis", StoreUnavailable: "object-store"}


def versions_of(history: Sequence[Job]) -> Iterator[Line]:
    """Return a line for each version. The time of one that has none is that of the version before."""
    first = history[0]
    if first.version > 1 and first.kind is not Kind.TOMBSTONE:
        history = [_as_accepted(first), *history]
    at = ""
    for job in history:
        at = max(at, _time_of(job))
        yield {
            "at": at,
            "kind": "version",
            "version": job.version,
            "state": job.state,
            "runner": job.runner,
            "attempts": job.attempts,
            "error": job.error,
            **_outcome(job),
            "delivery": job.delivery,
        }


class Story:
    """What the stores tell of one job or study. One that does not answer is not asked again, and is named."""

    def __init__(self, id_: str, stores: Stores) -> None:
        self._id, self._stores = id_, stores
        self._silent: dict[type[TransientError], Line] = {}

    def lines(self) -> Iterator[Line]:
        """Return what happened, oldest first; then a study's jobs, where it is now, and what is missing.

        Raises NotStored, and StoreUnavailable where Redis does not show it either.
        """
        audit, since = self._stores.audit, made_at(self._id)
        # Redis first, because the sweeper moves its entries to the object store.
        acts = self._ask(QueueUnavailable, "latest acts", lambda: self._acts(audit.waiting())) or []
        history = self._ask(StoreUnavailable, "versions, deliveries", self._history) or self._shown()
        acts += self._ask(StoreUnavailable, "acts before", lambda: self._acts(audit.entries(since))) or []
        once = {act.pop("id"): act for act in acts}.values()
        told = [*once, *_deliveries_of(history), *versions_of(history)]
        yield from sorted(told, key=lambda line: str(line["at"]))
        job = history[-1]
        yield from self._ask(StoreUnavailable, "jobs of the study", lambda: self._members_of(job)) or []
        yield {
            "at": moment_text(now()),
            "kind": "now",
            "id": job.id,
            "client": job.client,
            "record": job.kind,
            "state": job.state,
            "priority": job.priority,
            "callback_due_at": moment_text(job.next_delivery_at) if job.next_delivery_at else None,
            **(self._ask(QueueUnavailable, "queue, agenda, worker", lambda: self._in_redis(job)) or {}),
            **(self._ask(StoreUnavailable, "marker, dead letter", lambda: self._in_object_store(job)) or {}),
        }
        yield from self._silent.values()

    def _ask(self, error: type[TransientError], what: str, ask: Callable[[], Answer]) -> Answer | None:
        """Return the answer of the store that raises this error where it does not answer, and None then."""
        if error not in self._silent:
            try:
                return ask()
            except error as why:
                store = {"store": _STORE[error], "why": str(why), "lacks": []}
                self._silent[error] = {"at": None, "kind": "missing", **store}
        self._silent[error]["lacks"].append(what)
        return None

    def _history(self) -> list[Job]:
        return self._stores.ledger.history(self._id)

    def _shown(self) -> list[Job]:
        """Return the latest version as Redis shows it."""
        shown = self._ask(QueueUnavailable, "latest version", lambda: self._stores.view.get_many([self._id]))
        found = [job for job in shown or () if job]
        if not found:
            raise StoreUnavailable(self._silent[StoreUnavailable]["why"])
        return found

    def _acts(self, entries: Iterable[Line]) -> list[Line]:
        return [
            {
                "id": entry["id"],
                "at": entry["at"],
                "kind": "act",
                **{name: entry[name] for name in ("action", "client", "key", "status", "request", "subject")},
                # An act of a key has none.
                "reader": entry.get("reader"),
            }
            for entry in entries
            if self._concerns(entry["subject"])
        ]

    def _concerns(self, subject: str | None) -> bool:
        """Return whether an act on the subject is one on this job: the subject may be its study."""
        if subject is None or subject == self._id:
            return subject is not None
        return subject.startswith("study_") and is_member(self._id, subject)

    def _members_of(self, study: Job) -> list[Line]:
        return [
            {
                "at": None,
                "kind": "job",
                "id": job.id,
                "state": job.state,
                "attempts": job.attempts,
                "error": job.error,
                **_outcome(job),
            }
            for job in self._stores.ledger.current_many(study.members)
        ]

    def _in_redis(self, job: Job) -> Line:
        view = self._stores.view
        due = view.agenda.due_at(job.id)
        worker = job.runner if job.state is State.RUNNING else view.delivery_queues.holder(job.id)
        return {
            "queue_position": view.client_queues.position(job),
            "on_agenda": due is not None,
            "agenda_at": moment_text(datetime.fromtimestamp(due, UTC)) if due not in (None, inf) else None,
            "worker": worker,
            "worker_lives": worker in view.heartbeats.alive() if worker else None,
        }

    def _in_object_store(self, job: Job) -> Line:
        objects = self._stores.objects
        return {
            "marker": objects.exists(marker_key(job.id)),
            "dead_letter": job.dead_letter and objects.exists(dead_letter_key(job.id)),
        }


def _as_accepted(job: Job) -> Job:
    """Return the first version of a job, which the ledger keeps no longer than its marker."""
    later = ("runner", "started_at", "finished_at", "result", "error", "call", "next_delivery_at")
    without: dict[str, Any] = dict.fromkeys(later)
    return replace(
        job,
        version=1,
        state=State.RUNNING if job.kind is Kind.STUDY else State.QUEUED,
        queued_at=job.created_at,
        delivery=Delivery.PENDING if job.callback_url else Delivery.NONE,
        attempts=0,
        delivery_attempts=0,
        **without,
    )


def _time_of(job: Job) -> str:
    """Return when a version was written, or a time before that."""
    if job.call:
        return str(job.call["at"])
    if job.owes_callback and not job.delivery_attempts and job.next_delivery_at:
        return moment_text(job.next_delivery_at)  # It was made due at once.
    return moment_text(job.finished_at or job.started_at or job.queued_at)


def _outcome(job: Job) -> Line:
    return {name: job.result[name] if job.result else None for name in ("finding", "probability")}


def _deliveries_of(history: Iterable[Job]) -> Iterator[Line]:
    for job in history:
        if job.call:
            names = ("attempt", "status", "duration_ms", "error")
            yield {"at": job.call["at"], "kind": "delivery", **{name: job.call[name] for name in names}}
