"""How a client's callbacks are signed and filtered: Standard Webhooks, with secrets that need no storing."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from standardwebhooks import Webhook

from jobs.record.job import moment_text
from jobs.store.recent import Recent
from jobs.store.records import Records

JOB_EVENTS = ("job.succeeded", "job.failed", "job.expired", "job.canceled")
STUDY_EVENTS = ("study.succeeded", "study.failed")
EVENTS = JOB_EVENTS + STUDY_EVENTS
OVERLAP = timedelta(hours=24)
"""For so long after a rotation callbacks carry the signature of the secret before, too."""


@dataclass(frozen=True)
class WebhookSettings:
    """What a client has chosen. `generation` counts its rotations of the secret."""

    events: tuple[str, ...] = EVENTS
    generation: int = 0
    rotated_at: datetime | None = None


class Webhooks:
    """The clients' webhook settings, in the object store. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records, signing_key: str, remembered: float = 0.0) -> None:
        """`remembered`: for how many seconds `of` may answer without asking the store."""
        self._records = records
        self._signing_key = signing_key
        self._recent = Recent[WebhookSettings](remembered)

    def of(self, client: str) -> WebhookSettings:
        """What this client has chosen; the defaults where it has not."""
        return self._recent.get(client, lambda: _read(self._records.read(_place(client))))

    def choose(self, client: str, events: Sequence[str]) -> WebhookSettings:
        """Send this client these events only."""
        return self._change(client, lambda before: replace(before, events=tuple(events)))

    def rotate(self, client: str, now: datetime) -> WebhookSettings:
        """Give this client a new secret; the one before goes on signing for OVERLAP."""
        return self._change(
            client, lambda before: replace(before, generation=before.generation + 1, rotated_at=now)
        )

    def secrets(self, client: str, settings: WebhookSettings, at: datetime) -> list[str]:
        """The secrets that sign this client's callbacks at this time, the newest first."""
        secrets = [webhook_secret(self._signing_key, client, settings.generation)]
        if settings.rotated_at and at - settings.rotated_at < OVERLAP:
            secrets.append(webhook_secret(self._signing_key, client, settings.generation - 1))
        return secrets

    def _change(self, client: str, change: Callable[[WebhookSettings], WebhookSettings]) -> WebhookSettings:
        stands = self._records.change(_place(client), lambda record: _record(change(_read(record))))
        return self._recent.put(client, _read(stands))


def webhook_secret(signing_key: str, client: str, generation: int = 0) -> str:
    """The secret, in the form of Standard Webhooks (`whsec_` and base64), that signs `client`'s callbacks."""
    what = f"webhook:{client}" + (f":{generation}" if generation else "")
    digest = hmac.new(signing_key.encode(), what.encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"


def signed(
    message_id: str, event: dict[str, Any], secrets: Sequence[str], at: datetime
) -> tuple[bytes, dict[str, str]]:
    """An event's body and headers, with a signature by each of the secrets."""
    body = json.dumps(event, separators=(",", ":"))
    return body.encode(), {
        "content-type": "application/json",
        "user-agent": "osteo-synergy",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body) for secret in secrets),
    }


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


def _place(client: str) -> str:
    return f"clients/{client}/webhook"
