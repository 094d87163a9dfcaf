"""Brings together what identifies people: readers, their sessions, one-time codes and attempts to sign in."""

from dataclasses import dataclass
from typing import Self

from api.identity.attempts import Attempts
from api.identity.csrf import Csrf
from api.identity.links import Links
from api.identity.oidc import Provider
from api.identity.oidc_flows import Flows
from api.identity.session import Sessions
from api.identity.totp import Codes
from jobs.reading.readers import Readers
from jobs.settings import Settings
from jobs.store.stores import Stores


@dataclass(frozen=True)
class People:
    """Who people are, and whether a request is theirs. `secure`: cookies are sent over TLS alone.

    `provider` is that of OpenID Connect; None where readers sign in by key alone.
    """

    readers: Readers
    sessions: Sessions
    codes: Codes
    csrf: Csrf
    attempts: Attempts
    provider: Provider | None
    flows: Flows
    links: Links
    secure: bool

    @classmethod
    def over(cls, settings: Settings, stores: Stores) -> Self:
        """Make it over these stores. Raises SettingsError."""
        readers = Readers(stores.records, settings.key_seconds)
        return cls(
            readers,
            Sessions(readers, stores.signing_key),
            Codes(readers, stores.signing_key),
            Csrf(stores.signing_key, settings.public_url),
            Attempts(stores.redis, settings.redis_url),
            Provider.of(settings),
            Flows(stores.signing_key, stores.redis),
            Links(stores.records, readers),
            secure=not settings.public_url.startswith("http://"),
        )
