"""A client's own API keys, in a program and at a terminal."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.identity.key import id_of
from api.identity.key_store import Keys
from api.identity.scopes import Scope
from osteo_client import Forbidden, NoSuchKey, NotTheService, Unauthorized
from tests.api.conftest import Api
from tests.client.conftest import Door

OSTEO = Path(sys.executable).with_name("osteo")


@pytest.fixture
def key(api: Api) -> str:
    """The key of a client of this test's own."""
    return Keys(api.records).create(f"keeper-{time.monotonic_ns()}")


def test_keys_are_made_seen_replaced_and_ended(connect: Callable[..., Any], api: Api, key: str):
    client = connect(api.url, key)
    made = client.create_key(["read"])
    assert (made.scopes, made.id, made.api_key in repr(made)) == (("read",), id_of(made.api_key), False)
    assert client.create_key().scopes == ("admin", "read", "submit")
    rotated = client.rotate_key(made.id)
    client.revoke_key(rotated.id)
    listed = client.keys()
    seen = {one.id: one for one in listed}
    assert len(seen) == 4
    assert seen[id_of(key)].last_used_at
    assert seen[id_of(key)].ends_at is None
    assert seen[made.id].scopes == ("read",)
    assert seen[made.id].ends_at > seen[rotated.id].ends_at
    with pytest.raises(Unauthorized):
        next(iter(connect(api.url, rotated.api_key).jobs()))


def test_keys_that_are_not_there_or_not_allowed_are_told_apart(
    connect: Callable[..., Any], api: Api, key: str, door: Door
):
    client = connect(api.url, key)
    for key_id in (id_of(api.key), "unknown"):
        with pytest.raises(NoSuchKey):
            client.rotate_key(key_id)
        with pytest.raises(NoSuchKey):
            client.revoke_key(key_id)
    with pytest.raises(Forbidden):
        connect(api.url, Keys(api.records).create("reader", [Scope.READ])).keys()
    door.treat = lambda n: (200, {"Content-Type": "application/json"}, b'{"hello": "world"}')
    with pytest.raises(NotTheService, match="is the address right"):
        connect(door.url, key).create_key()


def test_the_command_does_the_same(api: Api, key: str):
    def osteo(*arguments: str, key: str = key) -> "subprocess.CompletedProcess[str]":
        given = {"OSTEO_URL": api.url, "OSTEO_KEY": key}
        return subprocess.run([OSTEO, "keys", *arguments], env=given, capture_output=True, text=True)

    made = json.loads(osteo("create", "--scope", "read", "--scope", "submit", "--json").stdout)
    assert made["scopes"] == ["read", "submit"]
    rotated = osteo("rotate", made["id"])
    key_id, scopes, text = rotated.stdout.split()
    assert (rotated.returncode, key_id, scopes) == (0, id_of(text), "read,submit")
    assert osteo("revoke", key_id).stdout == f"{key_id}  revoked\n"
    listed = [json.loads(line) for line in osteo("list", "--json").stdout.splitlines()]
    assert [one["id"] for one in listed] == [id_of(key), made["id"], key_id]
    assert [bool(one["ends_at"]) for one in listed] == [False, True, True]
    shown = osteo("list").stdout
    assert f"{key_id}  read,submit  never used  ends " in shown
    assert text not in shown
    gone, narrow = osteo("revoke", "0" * 16), osteo("list", key=made["api_key"])
    assert (gone.returncode, "404 no-such-key" in gone.stderr) == (3, True)
    assert (narrow.returncode, "403 insufficient-scope" in narrow.stderr) == (3, True)
    assert osteo("create", "--scope", "all").returncode == 2
