"""A reader key opens the routes that are for readers, and nothing else."""

import json
import re
from itertools import count

import pytest
from flask import Blueprint, Flask, Response, g

from api.app import create_app
from api.identity.key_store import Keys
from api.openapi.describe import Answer, describe, operation_of
from jobs.reading.reader import read_reader, record_of
from jobs.reading.readers import Readers
from jobs.record.errors import QueueAway, StoreUnavailable
from jobs.settings import Settings
from jobs.store.audit import Audit
from jobs.web_push.subscriptions import PushSubscription, PushSubscriptions
from tests.api.conftest import collaborators


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def readers(ledger) -> Readers:
    return Readers(ledger.records)


@pytest.fixture
def keys(ledger) -> Keys:
    return Keys(ledger.records)


@pytest.fixture
def app(settings: Settings, ledger, queue, keys, monkeypatch) -> Flask:
    """Return an application with one route more, which is for readers as well."""
    routes = Blueprint("of_readers", __name__)

    @routes.get("/v1/of-readers")
    @describe("ofReaders", "For readers", {200: Answer("Who asks.")}, readers=True)
    def of_readers() -> Response:
        return Response(g.reader.id if "reader" in g else g.caller.client)

    monkeypatch.setattr("api.app.problem_routes", lambda: routes)
    return create_app(settings, collaborators(settings, ledger, queue, keys))


def test_a_route_for_readers_takes_both_kinds_of_keys(app: Flask, readers, keys, ledger, redis):
    key, reader = readers.create("Dr. Ada Bone", frozenset({"msk"}))
    client = app.test_client()
    assert client.get("/v1/of-readers", headers=bearer(key)).text == reader.id
    assert client.get("/v1/of-readers", headers=bearer(keys.create("clinic"))).text == "clinic"
    acts = [(act["action"], act["client"], act["reader"]) for act in Audit(ledger.objects, redis).waiting()]
    assert acts == [("ofReaders", "", reader.id), ("ofReaders", "clinic", None)]
    described = client.get("/openapi.json").json["paths"]["/v1/of-readers"]["get"]["security"]
    assert described == [{"apiKey": ["read"]}, {"readerKey": []}]


def test_a_reader_key_opens_no_route_that_is_not_for_readers(app: Flask, readers):
    key, _ = readers.create("Dr. Ada Bone", frozenset({"msk"}), "clinic")
    client, tried = app.test_client(), 0
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is None or operation.public or operation.readers:
            continue
        path = re.sub(r"<[^>]+>", "job_" + "0" * 26, rule.rule)
        for method in rule.methods - {"OPTIONS"}:
            answer = client.open(path, method=method, headers=bearer(key))
            assert answer.status_code == 401, (method, path)
            tried += 1
    assert tried > 30
    for path in ("/v1/", "/v1/nowhere", "/dicom-web/nowhere"):
        assert client.get(path, headers=bearer(key)).status_code == 401


def test_a_reader_key_that_ended_is_refused(app: Flask, readers):
    key, reader = readers.create("Dr. Ada Bone", frozenset({"msk"}))
    replaced, _ = readers.create("Dr. Bert Joint", frozenset({"msk"}))
    readers.disable(reader.id)
    other = next(found for found in readers.all() if found.name == "Dr. Bert Joint")
    fresh, _ = readers.rotate(other.id)
    client = app.test_client()
    for ended in (key, replaced, "osteo_reader_" + "A" * 43, "osteo_reader_../../readers/" + "A" * 30):
        assert client.get("/v1/of-readers", headers=bearer(ended)).status_code == 401
    assert client.get("/v1/of-readers", headers=bearer(fresh)).status_code == 200


def test_a_disabled_reader_is_refused_once_the_trust_has_run_out(readers, ledger):
    key, reader = readers.create("Dr. Ada Bone", frozenset({"msk"}))
    trusting, anew = Readers(ledger.records, 600), Readers(ledger.records, 0)
    assert trusting.of_key(key) == anew.of_key(key) == reader
    readers.disable(reader.id)
    assert trusting.of_key(key), "so long a process spares the object store a read for each request"
    assert anew.of_key(key) is None


@pytest.mark.parametrize("away", [1, 2, 3])
def test_a_rotation_with_a_store_away_loses_no_key(readers: Readers, ledger, monkeypatch, away):
    """One write fails: the first removal of subscriptions, the second, or the deletion of the old key."""
    key, reader = readers.create("Dr. Who", frozenset({"msk"}))
    subscriptions = PushSubscriptions(ledger.records)
    subscriptions.add(reader.id, PushSubscription("https://push.example/1", "key", "auth"))
    removals, remove_all, delete = count(1), PushSubscriptions.remove_all, type(ledger.objects).delete

    def removed(of: PushSubscriptions, reader_id: str) -> None:
        if next(removals) == away:
            raise QueueAway("away")
        remove_all(of, reader_id)

    def deleted(objects: object, name: str) -> None:
        if away == 3 and name.startswith("reader-keys/"):
            raise StoreUnavailable("away")
        delete(objects, name)

    monkeypatch.setattr(PushSubscriptions, "remove_all", removed)
    monkeypatch.setattr(type(ledger.objects), "delete", deleted)
    if away == 1:
        with pytest.raises(QueueAway):
            readers.rotate(reader.id)
        assert readers.of_key(key) == reader
    else:
        fresh, after = readers.rotate(reader.id)
        assert (readers.of_key(fresh), readers.of_key(key)) == (after, None)
        assert subscriptions.of(reader.id) == []


def test_a_field_of_a_later_version_is_kept(readers: Readers):
    _, reader = readers.create("Dr. Ada Bone", frozenset({"msk"}))
    newer = json.dumps(json.loads(record_of(reader)) | {"licence": "4711"}).encode()
    assert json.loads(record_of(read_reader(newer))) == json.loads(newer)
