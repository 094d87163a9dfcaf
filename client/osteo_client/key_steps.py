"""Asks the service about this client's API keys, in steps that either client runs."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2

from osteo_client.errors import NotTheService
from osteo_client.exchange import Steps, document_of, exchange
from osteo_client.key import ApiKey, NewKey, Scope
from osteo_client.steps import Build

T = TypeVar("T")


@dataclass
class KeySteps:
    """The routes below /v1/keys. All need a key with the scope `admin`."""

    build: Build
    patience: float

    def all(self) -> Steps[list[ApiKey]]:
        """List this client's keys."""
        response = yield from exchange(self.build("GET", "/v1/keys"), self.patience)
        return _read(response, lambda document: [ApiKey.read(key) for key in document["keys"]])

    def create(self, scopes: Collection[Scope] | None) -> Steps[NewKey]:
        """Make a key."""
        order = {} if scopes is None else {"scopes": list(scopes)}
        response = yield from exchange(self.build("POST", "/v1/keys", json=order), self.patience)
        return _read(response, NewKey.read)

    def rotate(self, key_id: str) -> Steps[NewKey]:
        """Make a key in another one's place. Raises NoSuchKey."""
        response = yield from exchange(self.build("POST", _path(key_id, "/rotate")), self.patience)
        return _read(response, NewKey.read)

    def revoke(self, key_id: str) -> Steps[None]:
        """End a key. Raises NoSuchKey."""
        yield from exchange(self.build("DELETE", _path(key_id)), self.patience)


def _path(key_id: str, what: str = "") -> str:
    return f"/v1/keys/{quote(key_id, safe='')}{what}"


def _read(response: httpx2.Response, read: Callable[[dict[str, Any]], T]) -> T:
    try:
        return read(document_of(response))
    except (KeyError, TypeError, ValueError) as error:
        raise NotTheService(
            f"{response.url} answered with JSON that is no key: is the address right?"
        ) from error
