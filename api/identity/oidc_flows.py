"""Keeps a sign-in by OpenID Connect in a cookie until the provider sends the person back."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from itsdangerous import BadSignature, URLSafeTimedSerializer
from redis import Redis

from jobs.redis.client import take, translated

COOKIE = "osteo_oidc"
SECONDS = 600
"""How long a person may take at the provider."""
_LONGEST_BACK = 1000


@dataclass(frozen=True)
class Flow:
    """One sign-in. `nonce` and `verifier` (PKCE) are derived from `state`, and stay on the server.

    `back` is the page that was asked for, as the person's browser named it.
    """

    state: str
    nonce: str
    verifier: str
    back: str


class Flows:
    """The sign-ins that have begun. The cookie holds `state` and `back`, signed; Redis, which were used."""

    def __init__(self, signing_key: str, redis: Redis) -> None:
        self._key = hmac.digest(signing_key.encode(), b"oidc", sha256)
        self._redis = redis
        self._serializer = URLSafeTimedSerializer(
            self._key, salt=COOKIE, signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
        )

    def begin(self, back: str) -> tuple[Flow, str]:
        """Begin a sign-in. Returns it and the value of its cookie."""
        flow = self._flow(secrets.token_urlsafe(32), back if len(back) <= _LONGEST_BACK else "")
        return flow, str(self._serializer.dumps([flow.state, flow.back]))

    def take(self, cookie: str | None, state: str) -> Flow | None:
        """Return the sign-in of a cookie, once: None for one that is forged, expired or used.

        `state` is what the provider sent back. Raises QueueUnavailable: while Redis does not answer, no
        sign-in can be known to be unused.
        """
        try:
            begun, back = self._serializer.loads(cookie or "", max_age=SECONDS)
        except BadSignature:
            return None
        if not hmac.compare_digest(begun.encode(), state.encode()):
            return None
        used = f"oidc:{sha256(begun.encode()).hexdigest()}"
        with translated(self._redis):
            unused = take(self._redis, used, secrets.token_hex(8), 2 * SECONDS)
        return self._flow(begun, back) if unused else None

    def _flow(self, state: str, back: str) -> Flow:
        return Flow(state, self._derived("nonce", state), self._derived("verifier", state), back)

    def _derived(self, use: str, state: str) -> str:
        digest = hmac.digest(self._key, f"{use}:{state}".encode(), sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
