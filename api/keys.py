"""API keys: `python -m api.keys create --client NAME` makes one; the object store keeps its hash only."""

import argparse
import hashlib
import json
import os
import re
import secrets
import sys
import time

from jobs.errors import NotStored, StoreUnavailable
from jobs.job import moment_text, now
from jobs.objects import Objects
from jobs.settings import Settings, SettingsError
from jobs.webhook import webhook_secret

FORM = re.compile(r"osteo_[A-Za-z0-9_-]{43}")
CLIENT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TRUST_SECONDS = 60
MOST_TRUSTED = 10_000


class Keys:
    """Which client an API key belongs to."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._trusted: dict[str, tuple[str, float]] = {}

    def create(self, client: str) -> str:
        """A new key for `client`, stored hashed; this is the only time that it is seen. Raises ValueError."""
        if not CLIENT.fullmatch(client):
            raise ValueError("a client's name has 1 to 63 lower-case letters, digits and hyphens")
        key = f"osteo_{secrets.token_urlsafe(32)}"
        record = json.dumps({"client": client, "created_at": moment_text(now())})
        self._objects.put(_address(key), record.encode(), "application/json")
        return key

    def client_of(self, key: str) -> str | None:
        """The client that `key` belongs to, None for a wrong one. Raises StoreUnavailable."""
        if not FORM.fullmatch(key):
            return None
        address = _address(key)
        client, until = self._trusted.get(address, ("", 0.0))
        if until > time.monotonic():
            return client
        try:
            client = json.loads(self._objects.get(address))["client"]
        except NotStored:
            return None
        if len(self._trusted) >= MOST_TRUSTED:
            self._trusted.clear()
        self._trusted[address] = (client, time.monotonic() + TRUST_SECONDS)
        return client


def _address(key: str) -> str:
    # A key has 256 random bits, so a plain hash cannot be reversed by guessing.
    return f"keys/{hashlib.sha256(key.encode()).hexdigest()}"


def main() -> int:
    """Create a key and print it with the client's webhook secret, as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m api.keys", description=__doc__)
    create = parser.add_subparsers(dest="command", required=True).add_parser("create", help="make a key")
    create.add_argument("--client", required=True, help="the client (tenant) that it is for")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment(os.environ)
        objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
        objects.make_bucket()
        key = Keys(objects).create(arguments.client)
    except (SettingsError, ValueError, StoreUnavailable) as error:
        print(error, file=sys.stderr)
        return 2
    secret = webhook_secret(settings.signing_key, arguments.client)
    print(json.dumps({"client": arguments.client, "api_key": key, "webhook_secret": secret}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
