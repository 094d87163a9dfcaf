"""Tests the audit log of the API, as its operator reads it."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from admin.audit import acts_of
from api.identity.key import id_of
from api.identity.key_store import Keys
from api.identity.scopes import Scope
from jobs.record.job import now
from jobs.store.audit import STREAM, Audit
from jobs.store.ledger import Ledger
from tests.api.conftest import ROOT, Api
from tests.api.routes.test_jobs import PNG
from tests.conftest import SIGNING_KEY


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture
def audit(api: Api) -> Audit:
    return Audit(api.objects, api.redis)


@pytest.fixture
def key(api: Api, request) -> str:
    return Keys(api.records).create("audited")


def acts(audit: Audit, ledger: Ledger, since) -> list[tuple]:
    audit.carry_over()
    entries = list(acts_of(audit, ledger, "audited", since))
    return [(entry["action"], entry["key"], entry["subject"], entry.get("status")) for entry in entries]


def submit(api: Api, key: str, **fields: str) -> str:
    given = {"image": ("Jane-Doe.png", PNG), **fields}
    return api.request("POST", "/v1/jobs", key=key, fields=given).json()["id"]


def test_submissions_and_reads_are_in_the_audit_log(api: Api, audit, ledger, key):
    since, reader = now(), Keys(api.records).create("audited", [Scope.READ])
    job = submit(api, key)
    api.request("GET", f"/v1/jobs/{job}", key=reader)
    api.request("GET", f"/v1/jobs/{job}/image", key=reader)
    api.request("POST", f"/v1/jobs/{job}/redeliver", key=reader)
    api.request("GET", "/v1/jobs/job_nobody", key=reader)
    assert acts(audit, ledger, since) == [
        ("submitJob", id_of(key), job, 202),
        ("getJob", id_of(reader), job, 200),
        ("getImage", id_of(reader), job, 200),
        ("redeliverJob", id_of(reader), job, 403),
    ]


def test_a_poll_is_written_once_an_hour_for_each_key(api: Api, audit, ledger, key):
    since, reader = now(), Keys(api.records).create("audited", [Scope.READ])
    job = submit(api, key)
    for _ in range(3):
        api.request("GET", f"/v1/jobs/{job}", key=key)
        api.request("GET", f"/v1/jobs/{job}", key=reader)
        api.request("GET", f"/v1/jobs/{job}/result", key=key)
    found = acts(audit, ledger, since)
    assert found.count(("getJob", id_of(key), job, 200)) == 1
    assert found.count(("getJob", id_of(reader), job, 200)) == 1
    assert not [act for act in found if act[0] == "getResult"], "409 gives nothing out"


def test_a_submission_costs_the_object_store_nothing_more(api: Api, key):
    api.request("GET", "/v1/jobs", key=key)  # the first use is recorded
    before = set(api.objects.keys(""))
    job = submit(api, key)
    new = {name for name in api.objects.keys("") if name not in before}
    assert any(job in name for name in new)
    assert not any(name.startswith("audit/") for name in new)
    assert api.redis.xlen(STREAM) == 2


def test_a_submission_is_in_the_audit_after_a_wipe_of_redis(api: Api, audit, ledger, key):
    since = now()
    job = submit(api, key)
    api.redis.flushall()
    assert acts(audit, ledger, since) == [("submitJob", id_of(key), job, None)]


def test_a_study_is_one_act_and_after_a_wipe_of_redis_an_act_of_each_job(api: Api, audit, ledger, key):
    since = now()
    fields = [("image", ("a.png", PNG)), ("image", ("b.png", PNG))]
    study = api.request("POST", "/v1/studies", key=key, fields=fields).json()
    assert acts(audit, ledger, since) == [("submitStudy", id_of(key), study["id"], 202)]
    api.redis.flushall()
    for name in list(api.objects.keys("audit/")):
        api.objects.delete(name)
    jobs = {("submitJob", id_of(key), view["id"], None) for view in study["jobs"]}
    assert set(acts(audit, ledger, since)) == jobs


def test_an_administrative_act_is_recorded_before_its_answer(api: Api, audit, ledger, key):
    since = now()
    api.request("POST", "/v1/webhook/rotate", key=key)
    api.redis.flushall()
    assert acts(audit, ledger, since) == [("rotateSecret", id_of(key), None, 200)]


def test_the_audit_log_has_nothing_that_a_client_sent(api: Api, audit, key):
    submit(api, key, reference="Jane Doe", metadata='{"name": "Jane Doe"}')
    api.request("GET", "/v1/jobs?cursor=Jane-Doe", key=key)
    audit.carry_over()
    for name in api.objects.keys("audit/"):
        assert b"Jane" not in api.objects.get(name)


def test_an_operator_reads_one_clients_acts_since_a_time(api: Api, servers, key):
    job = submit(api, key)
    api.submit(PNG)

    def command(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            (sys.executable, "-m", "admin.audit", *arguments),
            cwd=ROOT,
            env=os.environ
            | {
                "OSTEO_SIGNING_KEY": SIGNING_KEY,
                "S3_ENDPOINT_URL": servers.s3_url,
                "S3_BUCKET": "test-api",
                "REDIS_URL": servers.redis_url,
            },
            capture_output=True,
            text=True,
        )

    since = (now() - timedelta(minutes=1)).isoformat()
    lines = [
        json.loads(line) for line in command("--client", "audited", "--since", since).stdout.splitlines()
    ]
    assert lines
    assert {line["client"] for line in lines} == {"audited"}
    assert ("submitJob", job, 202) in [
        (line["action"], line["subject"], line.get("status")) for line in lines
    ]
    assert command("--client", "audited", "--since", "yesterday").returncode == 2
    tomorrow = (now() + timedelta(days=1)).isoformat()
    assert command("--client", "audited", "--since", tomorrow).stdout == ""
