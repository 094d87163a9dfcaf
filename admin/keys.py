"""Makes, lists, replaces and ends API keys: `python -m admin.keys create|list|rotate|revoke`."""

import argparse
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from admin.command import run_subcommand
from api.identity.key import id_of, key_document
from api.identity.key_store import LONGEST_OVERLAP_HOURS, OVERLAP_HOURS, Keys
from api.identity.scopes import Scope
from jobs.callbacks.signing import webhook_secret
from jobs.record.job import moment_text
from jobs.settings import Settings
from jobs.store.audit import AuditEntry
from jobs.store.stores import Stores
from jobs.store.webhook_settings import Webhooks


def main() -> int:
    """Run the command. Return 1 where there is no such key, 2 for a wrong setting or name."""
    return run_subcommand(_parser().parse_args(), _lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m admin.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser(
        "create", help="make a key, shown this once, with the client's webhook secret"
    )
    create.add_argument("--client", required=True, help="the client (tenant) of the key")
    create.add_argument(
        "--scope",
        action="append",
        type=Scope,
        choices=list(Scope),
        help="what it may do; all, unless given",
    )
    show = commands.add_parser("list", help="list the keys: client, scopes, last use (to the hour)")
    show.add_argument("--client", help="of this client only")
    rotate = commands.add_parser("rotate", help="replace a key by a new one")
    rotate.add_argument("id", help="the key that is to end")
    rotate.add_argument(
        "--overlap-hours",
        type=_overlap,
        default=timedelta(hours=OVERLAP_HOURS),
        metavar="HOURS",
        help=f"for how long both keys work, 0 to {LONGEST_OVERLAP_HOURS}; {OVERLAP_HOURS}, unless given",
    )
    revoke = commands.add_parser("revoke", help="end a key now")
    revoke.add_argument("id")
    revoke.add_argument(
        "--and-made", action="store_true", help="with all keys that were made with it, and with those"
    )
    return parser


def _overlap(text: str) -> timedelta:
    hours = float(text)
    if not 0 <= hours <= LONGEST_OVERLAP_HOURS:
        raise ValueError
    return timedelta(hours=hours)


def _lines(arguments: argparse.Namespace, settings: Settings, stores: Stores) -> Iterator[dict[str, Any]]:
    keys, audit = Keys(stores.records), stores.audit
    if arguments.command == "create":
        key = keys.create(arguments.client, arguments.scope or tuple(Scope))
        audit.record_durably(AuditEntry(arguments.client, "createKey", subject=id_of(key)))
        generation = Webhooks(stores.records, settings.signing_key).of(arguments.client).generation
        secret = webhook_secret(settings.signing_key, arguments.client, generation)
        yield {"client": arguments.client, "api_key": key, "webhook_secret": secret}
    elif arguments.command == "list":
        for known, used_at in keys.all():
            if arguments.client in (None, known.client):
                yield key_document(known) | {"last_used_at": moment_text(used_at) if used_at else None}
    elif arguments.command == "rotate":
        key, ending = keys.rotate(arguments.id, arguments.overlap_hours)
        audit.record_durably(AuditEntry(ending.client, "rotateKey", subject=ending.id))
        yield {"client": ending.client, "api_key": key, "replaces": key_document(ending)}
    else:
        for revoked in keys.revoke(arguments.id, arguments.and_made):
            audit.record_durably(AuditEntry(revoked.client, "revokeKey", subject=revoked.id))
            yield key_document(revoked) | {"refused_within_seconds": settings.key_seconds}


if __name__ == "__main__":
    sys.exit(main())
