"""How a client's callbacks are signed and filtered: Standard Webhooks, with secrets that need no storing."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from standardwebhooks import Webhook

from jobs.errors import NotStored
from jobs.job import moment_text
from jobs.objects import Objects
from jobs.recent import Recent

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

    def __init__(self, objects: Objects, signing_key: str, remembered: float = 0.0) -> None:
        """`remembered`: for how many seconds `of` may answer without asking the store."""
        self._objects = objects
        self._signing_key = signing_key
        self._recent = Recent[WebhookSettings](remembered)

    def of(self, client: str) -> WebhookSettings:
        """What this client has chosen; the defaults where it has not."""
        return self._recent.get(client, lambda: self._read(client))

    def _read(self, client: str) -> WebhookSettings:
        try:
            raw = json.loads(self._objects.get(_key(client)))
        except NotStored:
            return WebhookSettings()
        rotated_at = datetime.fromisoformat(raw["rotated_at"]) if raw["rotated_at"] else None
        return WebhookSettings(tuple(raw["events"]), raw["generation"], rotated_at)

    def choose(self, client: str, events: Sequence[str]) -> WebhookSettings:
        """Send this client these events only."""
        return self._store(client, replace(self._read(client), events=tuple(events)))

    def rotate(self, client: str, now: datetime) -> WebhookSettings:
        """Give this client a new secret; the one before goes on signing for OVERLAP."""
        before = self._read(client)
        return self._store(client, replace(before, generation=before.generation + 1, rotated_at=now))

    def secrets(self, client: str, settings: WebhookSettings, at: datetime) -> list[str]:
        """The secrets that sign this client's callbacks at this time, the newest first."""
        secrets = [webhook_secret(self._signing_key, client, settings.generation)]
        if settings.rotated_at and at - settings.rotated_at < OVERLAP:
            secrets.append(webhook_secret(self._signing_key, client, settings.generation - 1))
        return secrets

    def _store(self, client: str, settings: WebhookSettings) -> WebhookSettings:
        record = {
            "events": settings.events,
            "generation": settings.generation,
            "rotated_at": moment_text(settings.rotated_at) if settings.rotated_at else None,
        }
        self._objects.put(_key(client), json.dumps(record).encode(), "application/json")
        return self._recent.put(client, settings)


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


def _key(client: str) -> str:
    return f"clients/{client}/webhook"
