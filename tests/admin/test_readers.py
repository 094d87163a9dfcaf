"""Tests how an operator makes, lists, equips and disables readers."""

import json
import subprocess
from datetime import timedelta

import pyotp
import pytest

from admin.audit import acts_of_reader
from api.identity.links import Links
from jobs.reading.readers import Readers
from jobs.record.ids import digest_of
from jobs.record.job import now
from jobs.store.audit import Audit, AuditEntry
from tests.conftest import run_command


def command(settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return run_command(settings, "admin.readers", *arguments, **variables)


def test_an_operator_makes_lists_equips_rotates_and_disables_readers(settings, ledger, redis):
    since, readers = now() - timedelta(minutes=1), Readers(ledger.records, 0)
    who = ("--name", "Dr. Ada Bone", "--groups", "msk, night", "--client", "clinic", "--email", "a@b.example")
    made = json.loads(command(settings, "create", *who).stdout)
    reader = readers.of_key(made["reader_key"])
    assert (reader.name, reader.groups, reader.client, reader.email) == (
        "Dr. Ada Bone",
        {"msk", "night"},
        "clinic",
        "a@b.example",
    )
    assert pyotp.parse_uri(made["otpauth"]).secret == made["totp_secret"]
    (listed,) = map(json.loads, command(settings, "list", "--group", "night").stdout.splitlines())
    assert (listed["id"], listed["key_id"]) == (reader.id, digest_of(made["reader_key"])[:16])
    assert command(settings, "list", "--group", "day").stdout == ""
    equipped = json.loads(command(settings, "totp", reader.id).stdout)
    assert equipped["totp_secret"] != made["totp_secret"]
    rotated = json.loads(command(settings, "rotate", reader.id).stdout)
    assert readers.of_key(made["reader_key"]) is None
    assert readers.of_key(rotated["reader_key"]).id == reader.id
    hours = "22:00-07:00 Europe/Berlin"
    assert json.loads(command(settings, "quiet", reader.id, hours).stdout)["quiet"] == hours
    assert command(settings, "quiet", reader.id, "at night").returncode == 2
    assert readers.one(reader.id).quiet == hours
    assert json.loads(command(settings, "quiet", reader.id).stdout)["quiet"] is None
    disabled = json.loads(command(settings, "disable", reader.id).stdout)
    assert disabled["disabled_at"]
    assert disabled["refused_within_seconds"] == settings.key_seconds
    assert readers.of_key(rotated["reader_key"]) is None
    assert [*readers.in_group("night")] == []
    acts = [(act["action"], act["subject"]) for act in Audit(ledger.objects, redis).entries(since)]
    names = (
        "createReader",
        "replaceReaderCodes",
        "rotateReaderKey",
        "setQuietHours",
        "setQuietHours",
        "disableReader",
    )
    assert acts == [(name, reader.id) for name in names]
    listed = command(settings, "list").stdout
    assert made["reader_key"] not in listed
    assert made["totp_secret"] not in listed


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("create", "--name", " ", "--groups", "msk"), 2, "name"),
        (("create", "--name", "A\nB", "--groups", "msk"), 2, "name"),
        (("create", "--name", "A", "--groups", "MSK"), 2, "group"),
        (("create", "--name", "A", "--groups", "msk", "--client", "../x"), 2, "client"),
        (("create", "--name", "A", "--groups", "msk", "--email", "a@b\nBcc: c@d"), 2, "address"),
        (("disable", "reader_" + "0" * 26), 1, "no reader"),
        (("rotate", "../keys"), 1, "no reader"),
        (("totp", ""), 1, "no reader"),
    ],
)
def test_a_wrong_name_or_id_is_refused(settings, ledger, arguments, status: int, said: str):
    done = command(settings, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert not [*ledger.objects.keys("reader")]


def test_the_acts_of_a_reader_are_told_for_every_client(ledger, redis):
    audit = Audit(ledger.objects, redis)
    for client, reader in (
        ("clinic", "reader_1"),
        ("", "reader_1"),
        ("clinic", "reader_2"),
        ("clinic", None),
    ):
        audit.record_durably(AuditEntry(client, "viewed", reader=reader))
    found = acts_of_reader(audit, "reader_1", now() - timedelta(minutes=1))
    assert sorted(act["client"] for act in found) == ["", "clinic"]


def test_an_operator_links_a_person_at_the_provider_to_one_reader(settings, ledger, redis):
    readers, issuer = Readers(ledger.records, 0), {"OSTEO_OIDC_ISSUER": "https://login.example"}
    (_, ada), (_, bert) = (readers.create(name, frozenset({"msk"})) for name in ("Ada", "Bert"))
    without = command(settings, "link", ada.id, "--subject", "a-1")
    assert (without.returncode, "OSTEO_OIDC_ISSUER" in without.stderr) == (2, True)
    linked = json.loads(command(settings, "link", ada.id, "--subject", "a-1", **issuer).stdout)
    assert linked["oidc_subject"] == "https://login.example a-1"
    assert Links(ledger.records, readers).reader_of("https://login.example a-1", None).id == ada.id
    taken = command(settings, "link", bert.id, "--subject", "a-1", **issuer)
    assert (taken.returncode, ada.id in taken.stderr) == (2, True)
    assert command(settings, "link", "reader_x", "--subject", "a-2", **issuer).returncode == 1
    found = Audit(ledger.objects, redis).entries(now() - timedelta(minutes=5))
    assert [(entry["action"], entry["subject"]) for entry in found] == [("linkReader", ada.id)]
