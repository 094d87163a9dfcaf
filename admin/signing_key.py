"""The operator's command for another signing key, after a loss or a leak: `python -m admin.signing_key`."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from admin.command import settings_of_command, tell
from api.identity.key_store import Keys
from jobs.record.errors import TransientError
from jobs.record.job import now
from jobs.redis.client import connect
from jobs.settings import Settings, SettingsError
from jobs.store.audit import Audit, Entry
from jobs.store.compatibility import Marks, fingerprint
from jobs.store.objects import Objects
from jobs.store.records import Records
from jobs.store.webhook_settings import Webhooks, webhook_secret


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
    redis = connect(settings.redis_url)
    records = Records(Objects.connect(settings.s3_endpoint_url, settings.s3_bucket), redis)
    # The layout alone: the key is what is to differ.
    Marks(records, redis).compare()
    before = Marks(records, redis, settings.signing_key).replace_signing_key()
    yield {"signing_key": fingerprint(settings.signing_key), "replaces": before}
    webhooks, audit = Webhooks(records, settings.signing_key), Audit.connect(settings)
    for client in sorted({key.client for key, _ in Keys(records).all() if not key.ended(now())}):
        audit.keep(Entry(client, "replaceSigningKey"))
        secret = webhook_secret(settings.signing_key, client, webhooks.of(client).generation)
        yield {"client": client, "webhook_secret": secret}


if __name__ == "__main__":
    sys.exit(main())
