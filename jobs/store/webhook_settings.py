"""Stores what a client has chosen for its callbacks: which events, and how often its secret was rotated."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobs.callbacks.signing import webhook_secret
from jobs.record.events import USUAL_EVENTS
from jobs.record.job import moment_text
from jobs.store.recent import Recent
from jobs.store.records import Records

OVERLAP = timedelta(hours=24)
"""Time after a rotation for which callbacks are also signed with the secret before."""


@dataclass(frozen=True)
class WebhookSettings:
    """The choices of a client. `generation` counts the rotations of its secret."""

    events: tuple[str, ...] = USUAL_EVENTS
    generation: int = 0
    rotated_at: datetime | None = None


class Webhooks:
    """The clients' webhook settings, in the object store. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records, signing_key: str, remembered: float = 0.0) -> None:
        """`remembered`: for how many seconds `of` returns what it has read before."""
        self._records = records
        self._signing_key = signing_key
        self._recent = Recent[WebhookSettings](remembered)

    def of(self, client: str) -> WebhookSettings:
        """Return the choices of this client, with defaults."""
        return self._recent.get(client, lambda: _read(self._records.read(_key(client))))

    def choose(self, client: str, events: Sequence[str]) -> WebhookSettings:
        """Send this client these events only."""
        return self._change(client, lambda before: replace(before, events=tuple(events)))

    def rotate(self, client: str, now: datetime) -> WebhookSettings:
        """Give this client a new secret. The one before also signs for OVERLAP."""
        return self._change(
            client, lambda before: replace(before, generation=before.generation + 1, rotated_at=now)
        )

    def secrets(self, client: str, settings: WebhookSettings, at: datetime) -> list[str]:
        """Return the secrets that sign this client's callbacks at this time, the newest first."""
        secrets = [webhook_secret(self._signing_key, client, settings.generation)]
        if settings.rotated_at and at - settings.rotated_at < OVERLAP:
            secrets.append(webhook_secret(self._signing_key, client, settings.generation - 1))
        return secrets

    def _change(self, client: str, change: Callable[[WebhookSettings], WebhookSettings]) -> WebhookSettings:
        written = self._records.change(_key(client), lambda record: _record(change(_read(record))))
        return self._recent.put(client, _read(written))


def wants(event: str, client: str, records: Records) -> bool:
    """Return whether a client has this event sent. Raises StoreUnavailable."""
    return event in _read(records.read(_key(client))).events


def _read(record: bytes | None) -> WebhookSettings:
    if record is None:
        return WebhookSettings()
    raw = json.loads(record)
    rotated_at = datetime.fromisoformat(raw["rotated_at"]) if raw["rotated_at"] else None
    return WebhookSettings(tuple(raw["events"]), raw["generation"], rotated_at)


def _record(settings: WebhookSettings) -> bytes:
    rotated_at = moment_text(settings.rotated_at) if settings.rotated_at else None
    record = {"events": settings.events, "generation": settings.generation, "rotated_at": rotated_at}
    return json.dumps(record).encode()


def _key(client: str) -> str:
    return f"clients/{client}/webhook"
