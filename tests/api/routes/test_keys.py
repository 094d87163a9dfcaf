"""Tests how a client lists, creates, rotates and revokes its own API keys."""

import json
import time
from datetime import datetime, timedelta

import pytest

from api.identity.key import id_of
from api.identity.key_store import Keys
from api.identity.scopes import Scope
from jobs.record.job import now
from jobs.store.audit import Audit
from tests.api.conftest import Api, problem_of


@pytest.fixture
def keys(api: Api) -> Keys:
    """The stored keys, without a cache."""
    return Keys(api.records, trust_seconds=0)


@pytest.fixture
def client() -> str:
    """A client of each test's own, so that it has the keys of the test only."""
    return f"keeper-{time.monotonic_ns()}"


@pytest.fixture
def key(keys: Keys, client: str) -> str:
    return keys.create(client)


def refused(answer, status: int, slug: str) -> dict:
    document = problem_of(answer)
    assert (answer.status, document["type"]) == (status, f"/problems/{slug}")
    return document


def test_a_client_sees_its_keys_and_no_others(api: Api, keys: Keys, client: str, key: str):
    reader = keys.create(client, [Scope.READ])
    keys.create(f"{client}-too")
    answer = api.request("GET", "/v1/keys", key=key)
    assert answer.status == 200
    first, second = answer.json()["keys"]
    assert (first["id"], first["scopes"]) == (id_of(key), ["admin", "read", "submit"])
    assert datetime.fromisoformat(first["last_used_at"]) <= now()
    assert second.pop("created_at") >= first["created_at"]
    assert second == {
        "id": id_of(reader),
        "scopes": ["read"],
        "ends_at": None,
        "made_by": None,
        "last_used_at": None,
    }
    assert key.encode() not in answer.data


def test_a_listing_reads_nothing_of_other_clients(api: Api, client: str, key: str, monkeypatch):
    keys, reads = Keys(api.records), []
    get = api.objects.get
    monkeypatch.setattr(api.objects, "get", lambda name: (reads.append(name), get(name))[1])
    assert [known.id for known, _ in keys.of_client(client)] == [id_of(key)]
    assert len(reads) == 2
    assert all(id_of(key) in name for name in reads)


def test_a_key_of_an_old_version_is_listed_once_it_is_used(api: Api, client: str, key: str):
    (use,) = api.objects.keys(f"keys-used/{client}/")
    api.objects.delete(use)
    (listed,) = api.request("GET", "/v1/keys", key=key).json()["keys"]
    assert listed["id"] == id_of(key)


def test_a_key_is_made_with_fewer_scopes_and_works(api: Api, key: str):
    answer = api.request("POST", "/v1/keys", key=key, json={"scopes": ["read"]})
    made = answer.json()
    assert answer.status == 201
    assert made == {"id": id_of(made["api_key"]), "scopes": ["read"], "api_key": made["api_key"]}
    assert api.request("GET", "/v1/jobs", key=made["api_key"]).status == 200
    refused(api.request("GET", "/v1/keys", key=made["api_key"]), 403, "insufficient-scope")


def test_a_key_made_without_scopes_has_those_of_the_requesting_key(
    api: Api, keys: Keys, client: str, key: str
):
    narrow = keys.create(client, [Scope.ADMIN, Scope.READ])
    for asking, scopes in ((key, ["admin", "read", "submit"]), (narrow, ["admin", "read"])):
        assert api.request("POST", "/v1/keys", key=asking).json()["scopes"] == scopes
        assert api.request("POST", "/v1/keys", key=asking, json={}).json()["scopes"] == scopes


def test_no_key_makes_or_rotates_one_with_more_scopes(api: Api, keys: Keys, client: str, key: str):
    narrow = keys.create(client, [Scope.ADMIN, Scope.READ])
    before = set(api.objects.keys("keys/"))
    for path, body in (("/v1/keys", {"scopes": ["submit"]}), (f"/v1/keys/{id_of(key)}/rotate", {})):
        document = refused(api.request("POST", path, key=narrow, json=body), 403, "insufficient-scope")
        assert document["scope"] == "submit"
    assert set(api.objects.keys("keys/")) == before
    assert keys.one(client, id_of(key)).ends_at is None


@pytest.mark.parametrize(("body", "hours"), [(None, 24), ({}, 24), ({"overlap_hours": 0.5}, 0.5)])
def test_a_rotated_key_ends_after_the_overlap_and_passes_its_scopes_on(
    api: Api, keys: Keys, client: str, key: str, body: dict | None, hours: float
):
    old = keys.create(client, [Scope.READ])
    before = now()
    given = {} if body is None else {"json": body}
    answer = api.request("POST", f"/v1/keys/{id_of(old)}/rotate", key=key, **given)
    made = answer.json()
    assert (answer.status, made["scopes"], made["id"]) == (201, ["read"], id_of(made["api_key"]))
    ends_at = keys.holder_of(old).ends_at
    assert datetime.fromisoformat(made["previous_key_ends_at"]) == ends_at
    assert before <= ends_at - timedelta(hours=hours) + timedelta(seconds=1)
    assert ends_at - timedelta(hours=hours) <= now()
    assert api.request("GET", "/v1/jobs", key=made["api_key"]).status == 200


def test_a_revoked_key_is_refused(api: Api, keys: Keys, client: str, key: str):
    old = keys.create(client)
    for _ in range(2):  # what was lost on its way may be sent again
        answer = api.request("DELETE", f"/v1/keys/{id_of(old)}", key=key)
        assert (answer.status, answer.data) == (204, b"")
    # No process has seen it before, so none trusts it; test_keys.py has what becomes of one that was seen.
    refused(api.request("GET", "/v1/jobs", key=old), 401, "unauthorized")
    refused(api.request("POST", f"/v1/keys/{id_of(old)}/rotate", key=key), 404, "no-such-key")
    ended = {one["id"]: one["ends_at"] for one in api.request("GET", "/v1/keys", key=key).json()["keys"]}
    assert ended[id_of(old)]
    assert ended[id_of(key)] is None


def test_a_revocation_with_and_made_ends_the_keys_that_the_key_made(
    api: Api, keys: Keys, client: str, key: str
):
    def made_by(asking: str, path: str = "/v1/keys") -> str:
        return api.request("POST", path, key=asking).json()["api_key"]

    leaked = made_by(key)
    child, rotated = made_by(leaked), made_by(leaked, f"/v1/keys/{id_of(leaked)}/rotate")
    grandchild, other = made_by(child), made_by(key)
    listed = {one["id"]: one["made_by"] for one in api.request("GET", "/v1/keys", key=key).json()["keys"]}
    assert listed[id_of(key)] is None
    assert listed[id_of(grandchild)] == id_of(child)
    path = f"/v1/keys/{id_of(leaked)}"
    refused(api.request("DELETE", f"{path}?and_made=yes", key=key), 400, "malformed")
    assert api.request("DELETE", path, key=key).status == 204
    assert keys.holder_of(leaked) is None
    assert all(map(keys.holder_of, (child, rotated, grandchild)))
    assert api.request("DELETE", f"{path}?and_made=true", key=key).status == 204
    assert list(map(keys.holder_of, (child, rotated, grandchild))) == [None] * 3
    assert keys.holder_of(key)
    assert keys.holder_of(other)


def test_a_key_that_is_still_trusted_after_its_end_makes_no_other(
    api: Api, keys: Keys, client: str, key: str
):
    leaked = keys.create(client)
    assert api.request("GET", "/v1/keys", key=leaked).status == 200, "it is trusted for some seconds now"
    keys.revoke(id_of(leaked))
    before = set(api.objects.keys(f"keys-used/{client}/"))
    refused(api.request("POST", "/v1/keys", key=leaked), 401, "unauthorized")
    refused(api.request("POST", f"/v1/keys/{id_of(key)}/rotate", key=leaked), 401, "unauthorized")
    assert set(api.objects.keys(f"keys-used/{client}/")) == before
    assert keys.one(client, id_of(key)).ends_at is None


def test_another_clients_key_does_not_exist(api: Api, keys: Keys, client: str, key: str):
    others = id_of(keys.create("stranger"))
    for key_id in (others, "0" * 16, others[:15], "unknown"):
        for method, path in (("POST", f"/v1/keys/{key_id}/rotate"), ("DELETE", f"/v1/keys/{key_id}")):
            refused(api.request(method, path, key=key), 404, "no-such-key")
    assert keys.one("stranger", others).ends_at is None


@pytest.mark.parametrize("scope", [Scope.READ, Scope.SUBMIT])
def test_a_key_without_admin_lists_and_changes_no_keys(
    api: Api, keys: Keys, client: str, key: str, scope: Scope
):
    asking, one = keys.create(client, [scope]), f"/v1/keys/{id_of(key)}"
    for method, path in (
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("POST", f"{one}/rotate"),
        ("DELETE", one),
    ):
        document = refused(api.request(method, path, key=asking), 403, "insufficient-scope")
        assert document["scope"] == "admin"
    assert keys.one(client, id_of(key)).ends_at is None


@pytest.mark.parametrize(
    "body",
    ["[]", "null", "{", '{"scopes": []}', '{"scopes": ["all"]}', '{"scopes": "read"}', '{"scope": []}'],
)
def test_a_malformed_order_of_a_key_is_refused(api: Api, key: str, body: str):
    before = set(api.objects.keys("keys/"))
    headers = {"Content-Type": "application/json"}
    refused(api.request("POST", "/v1/keys", key=key, headers=headers, body=body), 400, "malformed")
    assert set(api.objects.keys("keys/")) == before


@pytest.mark.parametrize("hours", ["-1", "168.1", "NaN", "true", "null", '"24"'])
def test_a_malformed_overlap_ends_no_key(api: Api, keys: Keys, client: str, key: str, hours: str):
    path, body = f"/v1/keys/{id_of(key)}/rotate", f'{{"overlap_hours": {hours}}}'
    headers = {"Content-Type": "application/json"}
    refused(api.request("POST", path, key=key, headers=headers, body=body), 400, "malformed")
    assert keys.one(client, id_of(key)).ends_at is None


def test_the_audit_log_has_the_ids_of_changed_keys_and_no_key(api: Api, client: str, key: str):
    since = now()
    made = api.request("POST", "/v1/keys", key=key).json()
    rotated = api.request("POST", f"/v1/keys/{made['id']}/rotate", key=key).json()
    api.request("DELETE", f"/v1/keys/{rotated['id']}", key=key)
    entries = [entry for entry in Audit(api.objects, api.redis).entries(since) if entry["client"] == client]
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("createKey", made["id"]),
        ("rotateKey", made["id"]),
        ("revokeKey", rotated["id"]),
    ]
    assert all(text not in json.dumps(entries) for text in (key, made["api_key"], rotated["api_key"]))
