"""Makes, lists and changes readers: `python -m admin.readers create|list|...`; `--help` lists all."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from admin.command import run_subcommand
from api.identity.links import Links, subject_of
from api.identity.totp import otpauth_uri, totp_secret
from jobs.reading.reader import Reader, reader_document
from jobs.reading.readers import Readers
from jobs.settings import Settings, SettingsError
from jobs.store.audit import AuditEntry
from jobs.store.stores import Stores


def main() -> int:
    """Run the command. Return 1 where there is no such reader, 2 for a wrong setting or name."""
    return run_subcommand(_parser().parse_args(), _lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m admin.readers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser(
        "create", help="make a reader; the key and the secret of the one-time codes are shown this once"
    )
    create.add_argument("--name", required=True, help="the name that stands in reports")
    create.add_argument("--groups", required=True, help="the groups whose readings are theirs, with commas")
    create.add_argument("--client", help="the client whose jobs the reader may open and submit for besides")
    create.add_argument("--email", help="where the message goes that a reading waits")
    show = commands.add_parser("list", help="list the readers")
    show.add_argument("--group", help="of this group only")
    disable = commands.add_parser("disable", help="end a reader's key and sessions for good")
    disable.add_argument("id")
    rotate = commands.add_parser("rotate", help="replace a reader's key, and end all sessions")
    rotate.add_argument("id")
    totp = commands.add_parser("totp", help="replace the secret of the one-time codes, as for a new phone")
    totp.add_argument("id")
    quiet = commands.add_parser("quiet", help="set the hours in which only stat readings are told")
    quiet.add_argument("id")
    quiet.add_argument("hours", nargs="?", help="such as '22:00-07:00 Europe/Berlin'; none without it")
    link = commands.add_parser(
        "link", help="let a person at the OpenID Connect provider sign in as a reader, in place of another"
    )
    link.add_argument("id")
    link.add_argument("--subject", required=True, help="what the provider calls the person: `sub`")
    return parser


def _lines(arguments: argparse.Namespace, settings: Settings, stores: Stores) -> Iterator[dict[str, Any]]:
    readers, soon = Readers(stores.records), {"refused_within_seconds": settings.key_seconds}
    if arguments.command == "create":
        groups = frozenset(group.strip() for group in arguments.groups.split(",") if group.strip())
        key, reader = readers.create(arguments.name, groups, arguments.client, arguments.email)
        _record(stores, "createReader", reader)
        yield reader_document(reader) | {"reader_key": key} | _codes(settings, reader)
    elif arguments.command == "list":
        for reader in readers.all():
            if arguments.group in (None, *reader.groups):
                yield reader_document(reader)
    elif arguments.command == "rotate":
        key, reader = readers.rotate(arguments.id)
        _record(stores, "rotateReaderKey", reader)
        yield {"id": reader.id, "reader_key": key} | soon
    elif arguments.command == "totp":
        reader = readers.replace_totp(arguments.id)
        _record(stores, "replaceReaderCodes", reader)
        yield {"id": reader.id} | _codes(settings, reader)
    elif arguments.command == "quiet":
        reader = readers.set_quiet(arguments.id, arguments.hours)
        _record(stores, "setQuietHours", reader)
        yield reader_document(reader)
    elif arguments.command == "link":
        if not settings.oidc_issuer:
            raise SettingsError("OSTEO_OIDC_ISSUER is not set: it names the provider")
        subject = subject_of(settings.oidc_issuer, arguments.subject)
        reader = Links(stores.records, readers).link(arguments.id, subject)
        _record(stores, "linkReader", reader)
        yield reader_document(reader)
    else:
        reader = readers.disable(arguments.id)
        _record(stores, "disableReader", reader)
        yield reader_document(reader) | soon


def _codes(settings: Settings, reader: Reader) -> dict[str, str]:
    return {
        "totp_secret": totp_secret(settings.signing_key, reader),
        "otpauth": otpauth_uri(settings.signing_key, reader),
    }


def _record(stores: Stores, action: str, reader: Reader) -> None:
    stores.audit.record_durably(AuditEntry(reader.client or "", action, subject=reader.id))


if __name__ == "__main__":
    sys.exit(main())
