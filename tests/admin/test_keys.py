"""Tests API keys: what each may do, and how an operator creates, lists, replaces and revokes them."""

import json
import subprocess
from datetime import timedelta

import pytest
from redis import Redis

from api.identity.key import id_of
from api.identity.key_store import USE_GRAIN, Keys
from api.identity.scopes import Scope
from jobs.callbacks.signing import webhook_secret
from jobs.record.errors import StoreUnavailable
from jobs.record.job import moment_text, now
from jobs.store.audit import Audit
from jobs.store.records import Records
from jobs.store.webhook_settings import Webhooks
from tests.api.conftest import Api, problem_of
from tests.api.routes.test_jobs import PNG
from tests.conftest import SIGNING_KEY, run_command

SOME_JOB = "/v1/jobs/job_" + "0" * 26


@pytest.fixture
def keys(ledger) -> Keys:
    return Keys(ledger.records)


def command(settings, *arguments: str) -> subprocess.CompletedProcess:
    return run_command(settings, "admin.keys", *arguments)


def test_a_key_does_what_its_scopes_allow_and_no_more(api: Api):
    store = Keys(api.records)
    asked = {
        Scope.SUBMIT: ("POST", f"{SOME_JOB}/redeliver", 404),
        Scope.READ: ("GET", SOME_JOB, 404),
        Scope.ADMIN: ("POST", "/v1/webhook/rotate", 200),
    }
    for scope in Scope:
        key = store.create("narrow", [scope])
        for needed, (method, path, status) in asked.items():
            answer = api.request(method, path, key=key)
            assert answer.status == (status if needed is scope else 403), (scope, needed)
            if needed is not scope:
                assert problem_of(answer)["scope"] == needed
                assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]


def test_a_key_that_may_not_submit_leaves_no_trace(api: Api):
    key = Keys(api.records).create("reader", [Scope.READ])
    api.request("GET", "/v1/jobs", key=key)  # the first use is recorded
    before = api.traces()
    answer = api.request("POST", "/v1/jobs", key=key, fields={"image": ("x.png", PNG)})
    assert (answer.status, problem_of(answer)["type"]) == (403, "/problems/insufficient-scope")
    assert api.traces() == before


def test_a_key_from_before_scopes_keeps_all_rights(keys, ledger):
    text = keys.create("clinic")
    (address,) = ledger.objects.keys("keys/")
    ledger.objects.put(address, json.dumps({"client": "clinic", "created_at": moment_text(now())}).encode())
    assert keys.holder_of(text).scopes == set(Scope)


def test_a_revoked_key_is_refused_once_its_trust_has_run_out(keys, ledger):
    text = keys.create("clinic")
    trusting, anew = Keys(ledger.records, trust_seconds=600), Keys(ledger.records, trust_seconds=0)
    held = trusting.holder_of(text)
    assert held.client == anew.holder_of(text).client == "clinic"
    keys.revoke(held.id)
    assert trusting.holder_of(text), "the window is what spares the object store a read for each request"
    assert anew.holder_of(text) is None
    assert Keys(ledger.records).holder_of(text) is None


def test_a_rotated_key_ends_after_its_overlap_and_its_successor_works(keys, ledger):
    old = keys.create("clinic", [Scope.READ])
    held = keys.holder_of(old)
    new, ending = keys.rotate(held.id, timedelta(hours=1))
    assert keys.holder_of(new).scopes == {Scope.READ}
    assert Keys(ledger.records).holder_of(old).ends_at == ending.ends_at
    keys.rotate(held.id, timedelta(0))
    assert Keys(ledger.records).holder_of(old) is None
    with pytest.raises(LookupError, match="has ended"):
        keys.rotate(held.id, timedelta(0))


@pytest.mark.parametrize("hours", ["1e8", "inf", "nan", "-1", "a"])
def test_a_wrong_overlap_is_refused_and_no_key_is_made(settings, keys, hours):
    key = keys.create("clinic")
    refused = command(settings, "rotate", id_of(key), f"--overlap-hours={hours}")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--overlap-hours" in refused.stderr
    assert [known.id for known, _ in keys.all()] == [id_of(key)]


def test_a_key_whose_predecessor_could_not_be_ended_is_removed(keys, monkeypatch):
    key, change = keys.create("clinic"), keys._change

    def away(*_):
        monkeypatch.setattr(keys, "_change", change)
        raise StoreUnavailable("away")

    monkeypatch.setattr(keys, "_change", away)
    with pytest.raises(StoreUnavailable):
        keys.rotate(id_of(key), timedelta(hours=1))
    assert [known.id for known, _ in keys.all()] == [id_of(key)]


def test_the_last_use_costs_one_write_an_hour_whatever_the_processes(keys, ledger, monkeypatch):
    text, writes = keys.create("clinic"), []
    put = ledger.objects.put
    monkeypatch.setattr(ledger.objects, "put", lambda key, *rest: (writes.append(key), put(key, *rest)))
    processes = [Keys(ledger.records, trust_seconds=0) for _ in range(3)]
    for process in processes * 2:
        held = process.holder_of(text)
    (use,) = ledger.objects.keys(f"keys-used/clinic/{held.id}")
    assert writes == [use]
    put(use, moment_text(now() - USE_GRAIN).encode())
    Keys(ledger.records).holder_of(text)
    assert len(writes) == 2


def test_an_operator_makes_lists_rotates_and_revokes_keys(settings, ledger, redis):
    since = now()
    made = json.loads(command(settings, "create", "--client", "clinic", "--scope", "read").stdout)
    assert made.keys() == {"client", "api_key", "webhook_secret"}
    Keys(ledger.records).holder_of(made["api_key"])
    (listed,) = map(json.loads, command(settings, "list", "--client", "clinic").stdout.splitlines())
    assert (listed["client"], listed["scopes"], listed["ends_at"]) == ("clinic", ["read"], None)
    assert listed["last_used_at"]
    rotated = json.loads(command(settings, "rotate", listed["id"], "--overlap-hours", "2").stdout)
    assert rotated["api_key"] != made["api_key"]
    revoked = json.loads(command(settings, "revoke", listed["id"]).stdout)
    assert revoked["ends_at"] <= moment_text(now())
    assert revoked["refused_within_seconds"] == settings.key_seconds
    assert Keys(ledger.records).holder_of(made["api_key"]) is None
    assert Keys(ledger.records).holder_of(rotated["api_key"]).scopes == {Scope.READ}
    made_by_it = Keys(ledger.records).create("clinic", made_by=id_of(rotated["api_key"]))
    ended = command(settings, "revoke", id_of(rotated["api_key"]), "--and-made").stdout.splitlines()
    assert [json.loads(line)["id"] for line in ended] == [id_of(rotated["api_key"]), id_of(made_by_it)]
    acts = [(entry["action"], entry["key"]) for entry in Audit(ledger.objects, redis).entries(since)]
    assert acts == [("createKey", None), ("rotateKey", None), *[("revokeKey", None)] * 3]
    shown = command(settings, "list").stdout + command(settings, "list", "--client", "another").stdout
    assert made["api_key"] not in shown
    assert len(shown.splitlines()) == 3


def test_a_new_key_comes_with_the_secret_that_signs_now(settings, ledger):
    Webhooks(ledger.records, SIGNING_KEY).rotate("clinic", now())
    made = json.loads(command(settings, "create", "--client", "clinic").stdout)
    assert made["webhook_secret"] == webhook_secret(SIGNING_KEY, "clinic", 1)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("create", "--client", "../keys"), 2),
        (("create", "--client", "clinic", "--scope", "all"), 2),
        (("revoke", "0" * 16), 1),
        (("revoke", "..%2F"), 1),
        (("rotate", ""), 1),
    ],
)
def test_a_wrong_command_says_what_is_wrong_and_changes_nothing(settings, ledger, arguments, status):
    done = command(settings, *arguments)
    assert done.returncode == status
    assert done.stderr.strip()
    assert not list(ledger.objects.keys("keys/"))


@pytest.mark.parametrize(
    "text", ["", "osteo_", "osteo_" + "A" * 42, "osteo_" + "A" * 44, "osteo_" + "ü" * 43]
)
def test_a_text_that_is_no_key_is_never_looked_up(text: str):
    assert Keys(Records(objects=None, redis=Redis())).holder_of(text) is None
