"""One client's jobs do not exist for another client: every route is tried with the key of another."""

import json
from collections.abc import Iterator

import pytest
import urllib3

from api.identity.key import id_of
from api.identity.key_store import Keys
from jobs.reading.policy import ReadingPolicy
from jobs.reading.readings import Readings
from jobs.record.job import Job, now
from jobs.store.probes import Probes
from tests.api.conftest import RESULT, Api, problem_of
from tests.api.routes.test_jobs import PNG
from tests.conftest import a_study

MARK = "OWNERS-OWN-4711"
BODIES = (
    {},
    {"events": ["job.failed"]},
    {"since": "2020-01-01T00:00:00Z"},
    {"callback_url": f"https://clinic.example/{MARK}"},
)
SOMEWHERE_ELSE = (
    "../../../keys",
    "..%2F..%2Fkeys",
    "%2e%2e",
    "job_" + "0" * 25 + "%00",
    "keys%2F",
    "%0d%0aX: y",
    "ü" * 300,
)


@pytest.fixture
def owned(api: Api, servers) -> dict[str, str]:
    """Return what a client has, by the parameters of paths. A new parameter needs an example here."""
    ledger = api.ledger
    url = f"https://clinic.example/{MARK}"
    submitted = api.submit(PNG, reference=MARK, metadata=json.dumps({"name": MARK}), callback_url=url)
    job: Job = ledger.read(submitted.json()["id"])
    ended = ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    ledger.append(ended.delivery_begun(now()))
    study, views = a_study(callback_url=url, reference=MARK)
    ledger.accept_study(study, ((view, b"image") for view in views))
    return {
        "job_id": job.id,
        "study_id": study.id,
        "key_id": id_of(api.key),
        "reading_id": Readings(ledger).request(ended, ReadingPolicy(("bones",)), question=MARK).id,
        "probe_id": Probes(api.records).create("clinic", url),
    }


def operations(api: Api) -> Iterator[tuple[str, str, dict]]:
    for path, item in api.request("GET", "/openapi.json", key="").json()["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and operation["security"]:
                yield method.upper(), path, operation


def things_of_the_owner(api: Api, owned: dict[str, str]) -> dict[str, bytes]:
    of_owner = ("clinic", *owned.values())
    names = [name for name in api.objects.keys("") if not name.startswith(("audit/", "keys"))]
    return {
        name: api.objects.get(name) for name in names if any(part in of_owner for part in name.split("/"))
    }


def ask(api: Api, method: str, path: str, key: str, body: dict | None) -> urllib3.BaseHTTPResponse:
    return api.request(method, path, key=key, **({} if body is None else {"json": body}))


def test_another_clients_key_opens_and_changes_nothing_on_any_route(api: Api, owned: dict[str, str]):
    other, before, tried = Keys(api.records).create("another"), things_of_the_owner(api, owned), 0
    assert len(before) >= 4
    for method, path, operation in operations(api):
        assert set(names_in(path)) <= owned.keys(), f"say in `owned` what {path} is of"
        for body in BODIES if operation.get("requestBody") else (None,):
            answer = ask(api, method, path.format(study="1.2.3.4", **owned), other, body)
            tried += 1
            said = answer.data + repr(dict(answer.headers)).encode()
            assert answer.status < 500, (method, path, body, said)
            if names_in(path):
                # What a client puts in place has an id of its own, and never one of the service's.
                own_id = (method, path) == ("PUT", "/v1/jobs/{job_id}")
                assert answer.status == (400 if own_id else 404), (method, path, body)
            if body is None:
                assert MARK.encode() not in said
            assert not any(name.encode() in said for name in owned.values()), (method, path)
    assert tried > 10
    assert things_of_the_owner(api, owned) == before


def test_without_a_key_no_route_below_v1_answers(api: Api, owned: dict[str, str]):
    for method, path, _ in operations(api):
        for key in ("", "osteo_" + "A" * 43, "osteo_../../keys", "clinic"):
            answer = api.request(method, path.format(study="1.2.3.4", **owned), key=key)
            assert (answer.status, problem_of(answer)["type"]) == (401, "/problems/unauthorized"), path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_path_leads_nowhere_but_to_the_clients_own(api: Api, method: str):
    before = {name for name in api.objects.keys("") if not name.startswith("audit/")}
    for path in {path for _, path, _ in operations(api) if names_in(path)}:
        for text in SOMEWHERE_ELSE:
            answer = api.request(method, path.replace("{" + names_in(path)[0] + "}", text))
            assert answer.status in (400, 404, 405), (method, path, text, answer.status)
            assert b"X" not in dict(answer.headers)
    assert {name for name in api.objects.keys("") if not name.startswith("audit/")} == before


def names_in(path: str) -> list[str]:
    """Return the parameters of a path that name what a client has. The UID of a study is not one of them."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{") and part != "{study}"]
