"""Names who makes a request: the client, the API key, the reader, and the trace."""

from dataclasses import dataclass

from api.identity.key import Key

CLIENT, KEY, READER = "api.client", "api.key", "api.reader"
"""Where the WSGI environment of a request that was let in has the client, and the id of its key or reader."""


@dataclass(frozen=True)
class Caller:
    """The client of an authenticated request, the key that it sent, and the `traceparent` of the request."""

    client: str
    key: Key
    traceparent: str
