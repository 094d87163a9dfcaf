"""What a client's policy limits: its open readings, and whether models may learn from its radiographs."""

import json

import pytest

from api.identity.key_store import Keys
from jobs.lifecycle.deletion import delete
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.readings import Readings
from jobs.reading.states import Wish
from jobs.record.job import now
from jobs.record.states import State
from jobs.store.audit import Audit
from jobs.store.consents import Consents
from tests.api.conftest import Api, problem_of
from tests.api.routes.test_jobs import PNG
from worker.sweeper.reconcile import restore_figures

READ = {"read": "requested"}


@pytest.fixture
def limited(api: Api):
    """A policy of two open readings, under which no model may learn."""
    Policies(api.records).put("clinic", ReadingPolicy(("bones",), most_open=2, training=False))
    yield
    for job_id in list(api.ledger.of_client("clinic", None)):
        if api.ledger.read(job_id).state is not State.ERASED:
            delete(job_id, api.ledger)
    Policies(api.records).put("clinic", ReadingPolicy())


def refused(answer) -> tuple[int, str]:
    problem = problem_of(answer)
    return problem["status"], problem["type"].rpartition("/")[2]


def test_open_readings_beyond_the_quota_are_refused_with_what_to_do(api: Api, limited):
    first = api.submit(PNG, **READ).json()["id"]
    second = api.submit(PNG).json()["id"]
    assert api.request("POST", f"/v1/jobs/{second}/readings").status == 201
    before = list(api.ledger.of_client("clinic", None))
    answer = api.submit(PNG, **READ)
    assert refused(answer) == (429, "too-many-readings")
    assert answer.headers["Retry-After"] == "300"
    assert "`read=none`" in answer.json()["detail"]
    assert list(api.ledger.of_client("clinic", None)) == before, "nothing was accepted"
    third = api.submit(PNG, read="none")
    assert third.status == 202
    more = api.request("POST", f"/v1/jobs/{third.json()['id']}/readings")
    assert refused(more) == (429, "too-many-readings")
    again = api.request("POST", f"/v1/jobs/{second}/readings")
    assert again.status == 200, "the open one is no further one"
    (reading,) = api.request("GET", f"/v1/jobs/{first}/readings").json()["readings"]
    api.request("POST", f"/v1/readings/{reading['id']}/cancel")
    assert api.submit(PNG, **READ).status == 202


def test_the_quota_of_one_client_delays_no_other(api: Api, limited):
    Policies(api.records).put("clinic-b", ReadingPolicy(("bones",), most_open=1))
    other = Keys(api.records).create("clinic-b")
    for _ in range(2):
        api.submit(PNG, **READ)
    assert refused(api.submit(PNG, **READ))[0] == 429
    fields = {"image": ("x.png", PNG), **READ}
    assert api.request("POST", "/v1/jobs", key=other, fields=fields).status == 202
    assert refused(api.request("POST", "/v1/jobs", key=other, fields=fields))[0] == 429


def test_the_quota_outlives_a_wiped_redis(api: Api, limited):
    for _ in range(2):
        api.submit(PNG, **READ)
    api.redis.flushall()
    restore_figures(api.ledger)
    assert refused(api.submit(PNG, **READ)) == (429, "too-many-readings")


def test_a_study_and_a_wish_of_the_policy_count_as_well(api: Api, limited):
    views = [("image", (f"{number}.png", PNG)) for number in range(3)]
    study = api.request("POST", "/v1/studies", fields=[*views, ("read", "requested")])
    assert refused(study) == (429, "too-many-readings")
    Policies(api.records).put("clinic", ReadingPolicy(("bones",), wish=Wish.REQUESTED, most_open=1))
    assert api.submit(PNG).status == 202
    assert refused(api.submit(PNG)) == (429, "too-many-readings")
    assert api.submit(PNG, read="none").status == 202


def test_a_refused_reading_leaves_its_key_free(api: Api, limited):
    fields = {"image": ("x.png", PNG), **READ}
    first = api.request("POST", "/v1/jobs", fields=fields, headers={"Idempotency-Key": "quota-1"})
    api.submit(PNG, **READ)
    late = {"Idempotency-Key": "quota-2"}
    assert refused(api.request("POST", "/v1/jobs", fields=fields, headers=late))[0] == 429
    again = api.request("POST", "/v1/jobs", fields=fields, headers={"Idempotency-Key": "quota-1"})
    assert (again.status, again.json()["id"]) == (202, first.json()["id"])
    (reading,) = Readings(api.ledger).of_job(first.json()["id"])
    api.request("POST", f"/v1/readings/{reading.id}/cancel")
    assert api.request("POST", "/v1/jobs", fields=fields, headers=late).status == 202


def test_a_reading_of_a_canceled_job_is_refused(api: Api, policy):
    job = api.submit(PNG, **READ).json()["id"]
    api.request("POST", f"/v1/jobs/{job}/cancel")
    (reading,) = api.request("GET", f"/v1/jobs/{job}/readings").json()["readings"]
    assert (reading["state"], reading["canceled_because"]) == ("canceled", "job_canceled")
    assert refused(api.request("POST", f"/v1/jobs/{job}/readings")) == (409, "job-failed")


def test_no_submission_allows_training_where_the_policy_forbids_it(api: Api, limited):
    assert refused(api.submit(PNG, training_use="allowed")) == (422, "training-forbidden")
    job = api.submit(PNG, training_use="denied").json()["id"]
    assert refused(consent(api, job, training_use="allowed")) == (422, "training-forbidden")
    assert consent(api, job, training_use="denied").status == 200


def consent(api: Api, job: str, **given: str):
    headers = {"Content-Type": "application/json"}
    return api.request("PUT", f"/v1/jobs/{job}/consent", body=json.dumps(given), headers=headers)


def test_consent_is_set_revoked_audited_and_erased_with_its_job(api: Api):
    since, reference = now(), "Jane-Doe-consent.pdf"
    job = api.submit(PNG, training_use="allowed", consent_reference=reference).json()["id"]
    given = api.request("GET", f"/v1/jobs/{job}/consent").json()
    assert (given["training_use"], given["consent_reference"]) == ("allowed", reference)
    consents, stored = Consents(api.records), api.ledger.read(job)
    assert not consents.revoked(stored)
    assert consent(api, job, training_use="denied").json()["consent_reference"] is None
    assert consents.revoked(stored)
    assert consent(api, job, training_use="allowed", consent_reference=reference).status == 200
    assert not consents.revoked(stored)
    audit = Audit(api.objects, api.redis)
    audit.carry_over()
    acts = [entry for entry in audit.entries(since) if entry["subject"] == job]
    assert [entry["action"] for entry in acts] == ["submitJob", "getConsent", "setConsent", "setConsent"]
    assert "Jane" not in json.dumps(acts) + api.log.read_text() + json.dumps(
        api.request("GET", f"/v1/jobs/{job}").json()
    )
    api.request("DELETE", f"/v1/jobs/{job}")
    assert not list(api.objects.keys(f"jobs/{job}/consent/"))
    assert refused(consent(api, job, training_use="denied")) == (410, "gone")


@pytest.mark.parametrize(
    "fields",
    [
        {"consent_reference": "c"},
        {"consent_reference": "c", "training_use": "denied"},
        {"consent_reference": "c" * 201, "training_use": "allowed"},
    ],
)
def test_a_consent_reference_without_its_consent_is_refused(api: Api, fields):
    assert refused(api.submit(PNG, **fields)) == (400, "malformed")
