"""Replaces the signing key after a loss or a leak: `python -m admin.signing_key replace`."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from admin.command import print_lines, settings_of_command
from api.identity.key_store import Keys
from jobs.callbacks.signing import webhook_secret
from jobs.record.errors import TransientError
from jobs.record.job import now
from jobs.settings import SettingsError
from jobs.store.audit import AuditEntry
from jobs.store.compatibility import fingerprint
from jobs.store.stores import Stores
from jobs.store.webhook_settings import Webhooks


def main() -> int:
    """Replace the key. Print each client's webhook secret as a line of JSON. Return 2 for an error.

    A key that is the bucket's already is an error after these lines: a call that was killed can be repeated.
    """
    parser = argparse.ArgumentParser(prog="python -m admin.signing_key", description=__doc__)
    parser.add_subparsers(dest="command", required=True).add_parser(
        "replace",
        help="make OSTEO_SIGNING_KEY the key of the bucket: every client gets another webhook secret",
    )
    parser.parse_args()
    try:
        settings = settings_of_command(signs=True)
        with closing(Stores.connect(replace(settings, signing_key=""))) as stores:
            stores.check()  # The layout alone: the signing key is to differ.
        with closing(Stores.connect(settings)) as stores:
            lines = list(_replace(stores))
            print_lines(lines)
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    if lines[0]["signing_key"] == lines[0]["replaces"]:
        print(
            "OSTEO_SIGNING_KEY is the key that this bucket had already: nothing was replaced, and the secrets"
            " are those of before. To replace the key give this command the new one (docs/operate.md)",
            file=sys.stderr,
        )
        return 2
    print("start the API and the delivery workers again: they sign with the key before", file=sys.stderr)
    return 0


def _replace(stores: Stores) -> Iterator[dict[str, Any]]:
    before = stores.compatibility().replace_signing_key()
    yield {"signing_key": fingerprint(stores.signing_key), "replaces": before}
    webhooks, audit = Webhooks(stores.records, stores.signing_key), stores.audit
    for client in sorted({key.client for key, _ in Keys(stores.records).all() if not key.ended(now())}):
        audit.record_durably(AuditEntry(client, "replaceSigningKey"))
        secret = webhook_secret(stores.signing_key, client, webhooks.of(client).generation)
        yield {"client": client, "webhook_secret": secret}


if __name__ == "__main__":
    sys.exit(main())
