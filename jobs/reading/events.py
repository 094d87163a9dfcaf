"""Tells a client's receiver of a reading: each event is a record of the ledger with a callback.

A report that is signed or amended has a second event where its client has chosen it: the targets that it
confirms, rejects or withdraws. Its data are made when it is delivered (jobs.targets.events), so that none
arrives that is out of date.
"""

import hashlib
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, TypedDict

from ulid import ULID

from jobs.reading.reading import Reading
from jobs.reading.states import ReadingState
from jobs.record.documents import MOMENT
from jobs.record.errors import QueueUnavailable
from jobs.record.events import READING_EVENTS, TARGETS_EVENT
from jobs.record.job import NO_IMAGE, Job, moment_text
from jobs.record.states import Delivery, State
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import image_key
from jobs.store.webhook_settings import wants

EVENT_KEPT = timedelta(days=7)
"""Time for which an event is kept after it was delivered or given up."""


class ReadingEventData(TypedDict):
    """What an event tells of a reading: where it stands, and where to read it. No word of a report."""

    id: str
    job: Annotated[str, "The id of the job that is read."]
    state: ReadingState
    due_at: Annotated[str, MOMENT]
    links: dict[str, str]


class ReadingEvent(TypedDict):
    """The callback of a reading."""

    type: Annotated[str, {"enum": list(READING_EVENTS)}]
    timestamp: Annotated[str, MOMENT]
    data: ReadingEventData


def tell(reading: Reading, ledger: Ledger, queue: JobQueue | None) -> None:
    """Store an event, with a callback that is due, for each change that has none yet.

    The same change gives the same event at any time. Without a `queue` the sweeper feeds them to delivery.
    Raises StoreUnavailable.
    """
    if reading.callback_url is None:
        return
    for number in range(reading.told, len(reading.history)):
        for event in _events(reading, number, ledger):
            store_event(event, ledger)
    if queue:
        with suppress(QueueUnavailable):  # The sweeper feeds them.
            queue.feed_deliveries(reading.client)


def store_event(event: Job, ledger: Ledger) -> None:
    """Store an event once. Raises StoreUnavailable."""
    if not ledger.objects.exists(image_key(event)):
        ledger.accept(event, b"")


def _events(reading: Reading, number: int, ledger: Ledger) -> list[Job]:
    """Return the records of the events of one entry of the history."""
    entry = reading.history[number]
    type_ = f"reading.{entry['type']}"
    if type_ not in READING_EVENTS or reading.callback_url is None:
        return []
    at, name = datetime.fromisoformat(entry["at"]), f"{reading.id} {number}"
    to = (reading.client, reading.callback_url)
    data = {
        "id": reading.id,
        "job": reading.job,
        "state": entry.get("state", entry["type"]),
        "due_at": moment_text(reading.due_at),
    }
    events = [event_record(name, *to, at, type_, data)]
    if entry["type"] in ("signed", "amended") and wants(TARGETS_EVENT, reading.client, ledger.records):
        events.append(event_record(f"{name} targets", *to, at, TARGETS_EVENT, {"job": reading.job}))
    return events


def event_record(
    name: str, client: str, callback_url: str, at: datetime, type_: str, data: dict[str, Any]
) -> Job:
    """Return the record of an event of this time, whose callback is due at once. A name has one event."""
    made = ULID.from_datetime(at).bytes[:6]
    digest = hashlib.sha256(name.encode()).digest()[:10]
    return Job(
        id=f"event_{ULID(made + digest)}",
        client=client,
        image=NO_IMAGE,
        created_at=at,
        queued_at=at,
        finished_at=at,
        state=State.SUCCEEDED,
        delivery=Delivery.PENDING,
        callback_url=callback_url,
        next_delivery_at=at,
        retention_seconds=int(EVENT_KEPT.total_seconds()),
        announces={"type": type_, "data": data},
    )
