"""Stores the browsers in which readers want to be told of readings: their Web Push subscriptions."""

import hashlib
import json
from base64 import urlsafe_b64decode
from dataclasses import asdict, dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from jobs.callbacks.url import parse
from jobs.store.records import Records

MOST = 5
"""Most subscriptions of a reader. A further one replaces the oldest."""


@dataclass(frozen=True)
class PushSubscription:
    """A subscription, as a browser made it: whom to call, and two keys in base64url to encrypt for it."""

    endpoint: str = field(repr=False)
    p256dh: str = field(repr=False)
    auth: str = field(repr=False)

    @property
    def id(self) -> str:
        """A name that gives away nothing of the endpoint, which only its reader should know."""
        return hashlib.sha256(self.endpoint.encode()).hexdigest()[:32]


class PushSubscriptions:
    """The subscriptions, at `push-subscriptions/<reader id>`. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def of(self, reader_id: str) -> list[PushSubscription]:
        """Return the subscriptions of a reader, oldest first."""
        return _read(self._records.read(_key(reader_id)))

    def add(self, reader_id: str, subscription: PushSubscription, replaced: str = "") -> None:
        """Store a reader's subscription, over one of the same endpoint and over that of the id `replaced`."""

        def changed(record: bytes | None) -> bytes:
            others = [kept for kept in _read(record) if kept.id not in (subscription.id, replaced)]
            return json.dumps([asdict(kept) for kept in [*others, subscription][-MOST:]]).encode()

        self._records.change(_key(reader_id), changed)

    def remove(self, reader_id: str, subscription_id: str) -> None:
        """Erase a reader's subscription of this id, if there is one."""

        def changed(record: bytes | None) -> bytes | None:
            left = [asdict(kept) for kept in _read(record) if kept.id != subscription_id]
            return json.dumps(left).encode() if left else None

        self._records.change(_key(reader_id), changed)

    def remove_all(self, reader_id: str) -> None:
        """Erase all subscriptions of a reader."""
        self._records.change(_key(reader_id), lambda _: None)


def push_subscription(endpoint: str, p256dh: str, auth: str, exceptions: frozenset[str]) -> PushSubscription:
    """Return the subscription of these parts, checked. Its endpoint is allowed as a callback's URL is.

    Raises ValueError, without the parts in its message.
    """
    parse(endpoint, exceptions)
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(p256dh))
        if len(from_base64url(auth)) != 16:
            raise ValueError("16 bytes")
    except ValueError as error:
        raise ValueError("the keys of this subscription are not those of a browser") from error
    return PushSubscription(endpoint, p256dh, auth)


def from_base64url(text: str) -> bytes:
    """Return the bytes of base64url with or without padding. Raises ValueError."""
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def _read(record: bytes | None) -> list[PushSubscription]:
    return [PushSubscription(**kept) for kept in json.loads(record)] if record else []


def _key(reader_id: str) -> str:
    return f"push-subscriptions/{reader_id}"
