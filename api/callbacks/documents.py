"""Describes the bodies and answers of the routes under /v1/webhook."""

from typing import Annotated, NotRequired, TypedDict

from jobs.record.documents import MOMENT, DeliveryAttempt
from jobs.record.events import EVENTS

EventNames = list[Annotated[str, {"enum": list(EVENTS)}]]


class FailingReceiver(TypedDict):
    """A receiver by scheme, host and port, and the time since which its callbacks fail."""

    origin: str
    failing_since: Annotated[str | None, MOMENT]
    disabled_at: Annotated[
        str | None,
        MOMENT,
        "Since then it is not called until it accepts a probe: it answered 410, or failed for five days.",
    ]


class WebhookDocument(TypedDict):
    """The settings of a client's callbacks, and its failing receivers."""

    events: EventNames
    known_events: list[str]
    secret_rotated_at: Annotated[str | None, MOMENT]
    failing_receivers: list[FailingReceiver]


class Choice(TypedDict):
    """The events to send."""

    events: EventNames


class NewSecret(TypedDict):
    """The secret that signs callbacks from now on."""

    secret: str
    previous_secret_signs_until: Annotated[str, MOMENT]


class ProbeOrder(TypedDict):
    """The URL to send a test event to."""

    callback_url: Annotated[str, {"format": "uri"}]


class Probe(TypedDict):
    """A test event."""

    id: str
    callback_url: str
    created_at: Annotated[str, MOMENT]
    delivery: Annotated[DeliveryAttempt | None, "The outcome of the call; null before it."]


class Since(TypedDict):
    """The callbacks to send again."""

    since: Annotated[str, MOMENT]
    cursor: NotRequired[Annotated[str | None, "The `next_cursor` of an earlier answer."]]


class Redelivery(TypedDict):
    """The number of callbacks that will be sent again, and a cursor if there are more."""

    redelivered: int
    next_cursor: str | None
