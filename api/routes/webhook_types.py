"""What the routes under /v1/webhook take and answer, as types that describe it."""

from typing import Annotated, NotRequired, TypedDict

from jobs.record.documents import MOMENT, DeliveryAttempt
from jobs.record.events import EVENTS

EventNames = list[Annotated[str, {"enum": list(EVENTS)}]]


class FailingReceiver(TypedDict):
    """Scheme, host and port that callbacks go to, and since when they fail."""

    origin: str
    failing_since: Annotated[str | None, MOMENT]
    disabled_at: Annotated[
        str | None,
        MOMENT,
        "Not called any more until it takes a probe: it answered 410, or failed for five days.",
    ]


class WebhookDocument(TypedDict):
    """What a client's callbacks are."""

    events: EventNames
    known_events: list[str]
    secret_rotated_at: Annotated[str | None, MOMENT]
    failing_receivers: list[FailingReceiver]


class Choice(TypedDict):
    """The events that are to be sent."""

    events: EventNames


class NewSecret(TypedDict):
    """What callbacks are signed with from now on."""

    secret: str
    previous_secret_signs_until: Annotated[str, MOMENT]


class ProbeOrder(TypedDict):
    """Where a test event goes."""

    callback_url: Annotated[str, {"format": "uri"}]


class Probe(TypedDict):
    """A test event."""

    id: str
    callback_url: str
    created_at: Annotated[str, MOMENT]
    delivery: Annotated[DeliveryAttempt | None, "What came of the call; null before it."]


class Since(TypedDict):
    """Which callbacks are to be sent once more."""

    since: Annotated[str, MOMENT]
    cursor: NotRequired[Annotated[str | None, "`next_cursor` of an earlier answer."]]


class Redelivery(TypedDict):
    """How many callbacks are due once more; with a cursor where there are more."""

    redelivered: int
    next_cursor: str | None
