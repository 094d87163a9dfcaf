"""Protects forms against other origins: a token for each session, and the origin of a request."""

import hmac
from hashlib import sha256
from urllib.parse import urlsplit


class Csrf:
    """The tokens of sessions: HMACs of their ids. `public_url` is where browsers reach the service, or ""."""

    def __init__(self, signing_key: str, public_url: str) -> None:
        self._key = hmac.digest(signing_key.encode(), b"csrf", sha256)
        parts = urlsplit(public_url)
        self._origin = f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else None

    def token(self, session_id: str) -> str:
        """Return the token of the session with this id."""
        return hmac.new(self._key, session_id.encode(), sha256).hexdigest()

    def matches(self, session_id: str, token: str) -> bool:
        """Return, in constant time, whether `token` is that of the session."""
        return hmac.compare_digest(self.token(session_id).encode(), token.encode())

    def is_own(self, origin: str | None, host: str) -> bool:
        """Return whether a request to `host` with this Origin header came from a page of the service itself.

        A browser sends Origin with every POST; a program may send none.
        """
        if origin is None:
            return True
        try:
            return origin.lower() == self._origin or urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:  # It is no URL.
            return False
