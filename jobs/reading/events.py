"""Tells a client's receiver of a reading: each event is a record of the ledger with a callback."""

import hashlib
from contextlib import suppress
from datetime import datetime
from typing import Annotated, TypedDict

from ulid import ULID

from jobs.reading.reading import Reading
from jobs.reading.states import ReadingState
from jobs.record.documents import MOMENT
from jobs.record.errors import QueueUnavailable
from jobs.record.events import READING_EVENTS
from jobs.record.job import NO_IMAGE, Job, moment_text
from jobs.record.states import Delivery, State
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import image_key

_WEEK = 7 * 86_400
"""Seconds for which an event is kept after it was delivered or given up."""


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
        event = _event(reading, number)
        if event and not ledger.objects.exists(image_key(event)):
            ledger.accept(event, b"")
    if queue:
        with suppress(QueueUnavailable):  # The sweeper feeds them.
            queue.feed_deliveries(reading.client)


def _event(reading: Reading, number: int) -> Job | None:
    """Return the record of the event of one entry of the history; None where no client is told of it."""
    entry = reading.history[number]
    type_ = f"reading.{entry['type']}"
    if type_ not in READING_EVENTS:
        return None
    at = datetime.fromisoformat(entry["at"])
    made = ULID.from_datetime(at).bytes[:6]
    digest = hashlib.sha256(f"{reading.id} {number}".encode()).digest()[:10]
    return Job(
        id=f"event_{ULID(made + digest)}",
        client=reading.client,
        image=NO_IMAGE,
        created_at=at,
        queued_at=at,
        finished_at=at,
        state=State.SUCCEEDED,
        delivery=Delivery.PENDING,
        callback_url=reading.callback_url,
        next_delivery_at=at,
        retention_seconds=_WEEK,
        announces={
            "type": type_,
            "data": {
                "id": reading.id,
                "job": reading.job,
                "state": entry.get("state", entry["type"]),
                "due_at": moment_text(reading.due_at),
            },
        },
    )
