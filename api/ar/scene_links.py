"""Signs and reads links to the page of one scene: for a headset, on which people type no key."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from itsdangerous import BadSignature, URLSafeSerializer

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.record.job import now

LINK_LIFETIME = timedelta(minutes=15)
_PURPOSE = "scene-link"


@dataclass(frozen=True)
class SceneLink:
    """What a link opens: the scene of one job, for the API key that made it.

    `assumed` is millimetres between pixels, for an image without a spacing; else None.
    """

    job: str
    key: str
    assumed: float | None
    expires_at: datetime


class SceneLinks:
    """The links. A token holds all of a link, signed; nothing is stored."""

    def __init__(self, signing_key: str) -> None:
        key = hmac.digest(signing_key.encode(), _PURPOSE.encode(), sha256)
        self._serializer = URLSafeSerializer(
            key, salt=_PURPOSE, signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
        )

    def token(self, link: SceneLink) -> str:
        """Return the token of a link."""
        seconds = int(link.expires_at.timestamp())
        return str(self._serializer.dumps([link.job, link.key, link.assumed, seconds]))

    def read(self, token: str) -> SceneLink:
        """Read a token; signatures are compared in constant time. Raises Problem 401: forged or expired."""
        try:
            job, key, assumed, seconds = self._serializer.loads(token)
        except BadSignature:
            raise link_ended() from None
        if now().timestamp() >= seconds:
            raise link_ended()
        return SceneLink(job, key, assumed, datetime.fromtimestamp(seconds, UTC))


def link_ended() -> Problem:
    """Return the problem of a request with a link that opens nothing, or nothing any more."""
    minutes = LINK_LIFETIME // timedelta(minutes=1)
    detail = f"This link is not valid, or has ended: it holds for {minutes} minutes. Ask for a new one."
    return Problem(Slug.LINK_ENDED, detail)
