"""Sends one message to a browser by Web Push (RFC 8030), encrypted for it alone (RFC 8291)."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec

from jobs.callbacks.url import CallbackUrlRefused, parse
from jobs.web_push.subscriptions import PushSubscription, from_base64url
from jobs.web_push.vapid import Vapid
from worker.delivery.call import CallResult, call
from worker.delivery.connections import Connections

_KEPT = 86_400
"""Seconds for which a push service keeps a message for a browser that is closed."""
_CLIENT = ""
"""The service itself: no client asks for these calls."""


@dataclass(frozen=True)
class WebPush:
    """What a message by Web Push needs. `exceptions` and `seconds` are those of callbacks."""

    vapid: Vapid
    exceptions: frozenset[str]
    seconds: float
    connections: Connections = field(default_factory=Connections)

    def send(
        self, subscription: PushSubscription, body: bytes, urgent: bool, topic: str, at: datetime
    ) -> CallResult:
        """Call the push service once, at a public address alone. A failure is an outcome, too.

        A message that waits there is replaced by a later one of the same `topic`.
        """
        try:
            target = parse(subscription.endpoint, self.exceptions)
        except CallbackUrlRefused as error:
            return CallResult(0.0, error=str(error))
        encrypted = http_ece.encrypt(
            body,
            private_key=ec.generate_private_key(ec.SECP256R1()),
            dh=from_base64url(subscription.p256dh),
            auth_secret=from_base64url(subscription.auth),
        )
        headers = {
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(_KEPT),
            "urgency": "high" if urgent else "normal",
            "topic": hashlib.sha256(topic.encode()).hexdigest()[:32],
            "authorization": self.vapid.authorization(f"{target.scheme}://{target.authority}", at),
        }
        message = encrypted, headers
        return call(target, lambda: message, self.exceptions, self.seconds, _CLIENT, self.connections)
