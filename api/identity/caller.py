"""Names who makes a request: the client, the API key, and the trace."""

from dataclasses import dataclass

from api.identity.key import Key

CLIENT, KEY = "api.client", "api.key"
"""Where the WSGI environment of an authenticated request has client and id of the key, for the access log."""


@dataclass(frozen=True)
class Caller:
    """The client of an authenticated request, the key that it sent, and the `traceparent` of the request."""

    client: str
    key: Key
    traceparent: str
