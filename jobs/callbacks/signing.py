"""Signs a callback by Standard Webhooks, with a secret that is derived and not stored."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook


def webhook_secret(signing_key: str, client: str, generation: int = 0) -> str:
    """Return the secret of a client's callbacks, in the form of Standard Webhooks (`whsec_`, base64)."""
    what = f"webhook:{client}" + (f":{generation}" if generation else "")
    digest = hmac.new(signing_key.encode(), what.encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"


def signed(
    message_id: str,
    event: dict[str, Any],
    secrets: Sequence[str],
    at: datetime,
    media_type: str = "application/json",
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of an event, with a signature by each of the secrets."""
    body = json.dumps(event, separators=(",", ":"))
    return body.encode(), {
        "content-type": media_type,
        "user-agent": "osteo-synergy",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body) for secret in secrets),
    }
