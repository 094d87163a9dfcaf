"""The operator's command for another signing key, after a loss or a leak: `python -m admin.signing_key`."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from admin.command import settings_of_command, tell
from api.identity.key_store import Keys
from jobs.callbacks.signing import webhook_secret
from jobs.record.errors import TransientError
from jobs.record.job import now
from jobs.settings import Settings, SettingsError
from jobs.store.audit import AuditEntry
from jobs.store.compatibility import fingerprint
from jobs.store.stores import Stores
from jobs.store.webhook_settings import Webhooks


def main() -> int:
    """Replace the key, and print each client's new webhook secret, JSON, a line a client."""
    parser = argparse.ArgumentParser(prog="python -m admin.signing_key", description=__doc__)
    parser.add_subparsers(dest="command", required=True).add_parser(
        "replace",
        help="make OSTEO_SIGNING_KEY the key of the bucket: every client gets another webhook secret",
    )
    parser.parse_args()
    try:
        settings = settings_of_command(signs=True)
        tell(list(_replaced(settings)))
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    print("start the API and the delivery workers again: they sign with the key before", file=sys.stderr)
    return 0


def _replaced(settings: Settings) -> Iterator[dict[str, Any]]:
    # The layout alone: the key is what is to differ.
    Stores.connect(replace(settings, signing_key="")).check()
    stores = Stores.connect(settings)
    before = stores.compatibility().replace_signing_key()
    yield {"signing_key": fingerprint(settings.signing_key), "replaces": before}
    webhooks, audit = Webhooks(stores.records, settings.signing_key), stores.audit
    for client in sorted({key.client for key, _ in Keys(stores.records).all() if not key.ended(now())}):
        audit.keep(AuditEntry(client, "replaceSigningKey"))
        secret = webhook_secret(settings.signing_key, client, webhooks.of(client).generation)
        yield {"client": client, "webhook_secret": secret}


if __name__ == "__main__":
    sys.exit(main())
