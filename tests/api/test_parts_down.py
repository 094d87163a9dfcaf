"""Tests the API while a part of the service does not answer, or is full."""

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from botocore.awsrequest import AWSResponse
from flask.testing import FlaskClient

from admin.keys import Keys
from api.app import create_app
from jobs.record.errors import StoreUnavailable
from jobs.record.job import now
from jobs.redis.client import CONNECTIONS
from jobs.redis.client_queues import DRAIN_BUCKET, drained_key
from jobs.redis.queue import JobQueue
from jobs.redis.view import View
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.stores import Stores
from tests import pictures
from tests.api.conftest import collaborators
from tests.conftest import a_job
from tests.jobs.store.requests import watch

PNG = pictures.encoded(pictures.gray())
NO_REDIS = "redis://127.0.0.1:1/0"


def client_of(settings: Settings, ledger: Ledger, queue: JobQueue, keys: Keys) -> FlaskClient:
    """Make a client, with a valid key, of an API over these parts."""
    client = create_app(settings, collaborators(settings, ledger, queue, keys)).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {keys.create('clinic')}"
    return client


@pytest.fixture
def keys(ledger: Ledger) -> Keys:
    return Keys(ledger.records)


def test_a_radiograph_is_accepted_without_redis_and_readiness_names_it(settings, ledger, keys):
    without = Ledger(ledger.objects, View.connect(NO_REDIS, 60))
    client = client_of(settings, without, JobQueue.connect(NO_REDIS), keys)
    answer = client.post("/v1/jobs", data=PNG, content_type="image/png")
    assert answer.status_code == 202
    assert client.get(f"/v1/jobs/{answer.json['id']}").json["state"] == "queued"
    assert len(client.get("/v1/jobs").json["jobs"]) == 1
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json) == (200, {"status": "ready", "degraded": ["redis"]})
    assert client.get("/health/live").status_code == 200
    assert list(ledger.pending()) == [answer.json["id"]]


def test_no_limit_is_lifted_while_all_connections_to_redis_are_in_use(settings, ledger, queue, keys):
    pool = ledger.view.redis.connection_pool
    pool.timeout = 0.01
    client = client_of(replace(settings, client_rate=1), ledger, queue, keys)
    taken = [pool.get_connection() for _ in range(CONNECTIONS)]
    refused = client.post("/v1/jobs", data=PNG, content_type="image/png")
    assert (refused.status_code, refused.json["type"]) == (503, "/problems/too-busy")
    assert refused.headers["Retry-After"]
    assert list(ledger.pending()) == []
    for connection in taken:
        pool.release(connection)
    answers = [client.post("/v1/jobs", data=PNG, content_type="image/png") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 429], "counted at once, and no pause before"


def test_an_accepted_submission_is_answered_though_its_wait_fails(settings, ledger, queue, keys, monkeypatch):
    client = client_of(settings, ledger, queue, keys)

    def away(_: str) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(ledger, "current", away)
    answer = client.post("/v1/jobs", data=PNG, content_type="image/png", headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json["state"]) == (202, "queued")
    assert "Preference-Applied" not in answer.headers


def test_a_job_is_kept_no_longer_than_the_operator_has_set(settings, ledger, queue, keys):
    client = client_of(replace(settings, retention_seconds=60), ledger, queue, keys)
    kept = [
        client.post(f"/v1/jobs?{query}", data=PNG, content_type="image/png")
        for query in ("", "retention_seconds=30", "retention_seconds=61")
    ]
    assert [answer.status_code for answer in kept] == [202, 202, 400]
    assert [answer.json.get("retention_seconds") for answer in kept] == [60, 30, None]


def test_a_redis_without_writes_is_named_and_submissions_are_accepted(settings, ledger, queue, keys, redis):
    client = client_of(settings, ledger, queue, keys)
    assert client.get("/health/ready").json["degraded"] == []
    redis.config_set("maxmemory", 1)
    try:
        assert client.get("/health/ready").json["degraded"] == ["redis"]
        assert client.post("/v1/jobs", data=PNG, content_type="image/png").status_code == 202
    finally:
        redis.config_set("maxmemory", 0)
    assert client.get("/health/ready").json["degraded"] == []


def test_readiness_writes_once_a_minute_and_again_once_a_write_has_failed(settings, ledger, queue, keys):
    client, bucket, puts, allowed = client_of(settings, ledger, queue, keys), ledger.objects, [], [True]
    Stores.connect(settings).check()

    def answer(action: str, key: str) -> AWSResponse | None:
        if action != "PutObject":
            return None
        puts.append(key)
        return None if allowed[0] else a_full_disk()

    watch(bucket, answer)
    assert {client.get("/health/ready").status_code for _ in range(5)} == {200}
    assert len(puts) == 1
    allowed[0] = False
    with pytest.raises(StoreUnavailable):
        bucket.put("image", b"radiograph")
    assert {client.get("/health/ready").status_code for _ in range(2)} == {503}
    allowed[0] = True
    assert client.get("/health/ready").status_code == 200
    assert len(puts) == 5


def a_full_disk() -> AWSResponse:
    """Return the answer of a server whose disk is full."""
    return AWSResponse("", 507, {}, BytesIO(b"<Error><Code>InsufficientStorage</Code></Error>"))


def takes_writes(client: FlaskClient) -> str:
    """Return the value of the gauge."""
    (line,) = re.findall(r"^osteo_object_store_takes_writes (.*)$", client.get("/metrics").text, re.MULTILINE)
    return line


def test_metrics_tell_of_a_store_that_answers_and_refuses_writes(settings, ledger, queue, keys):
    client, bucket, allowed = client_of(settings, ledger, queue, keys), ledger.objects, [True]
    Stores.connect(settings).check()

    watch(bucket, lambda action, _: None if allowed[0] or action != "PutObject" else a_full_disk())
    assert takes_writes(client) == "1.0"
    allowed[0] = False
    with pytest.raises(StoreUnavailable):
        bucket.put("image", b"radiograph")
    assert takes_writes(client) == "0.0"
    assert "osteo_object_store_up 1.0" in client.get("/metrics").text
    allowed[0] = True
    assert takes_writes(client) == "1.0"


def test_a_misspelt_bucket_is_not_made_by_the_api(settings, ledger, queue, keys):
    wrong = replace(settings, s3_bucket=f"{settings.s3_bucket}-typo")
    objects = Objects.connect(wrong.s3_endpoint_url, wrong.s3_bucket)
    misled = Ledger(objects, ledger.view)
    client = create_app(wrong, collaborators(wrong, misled, queue, Keys(misled.records))).test_client()
    environment = {
        "S3_ENDPOINT_URL": wrong.s3_endpoint_url,
        "S3_BUCKET": wrong.s3_bucket,
        "REDIS_URL": wrong.redis_url,
        "OSTEO_SIGNING_KEY": wrong.signing_key,
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", *command)
        return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)

    for command in (
        ("admin.keys", "create", "--client", "clinic"),
        ("admin.keys", "list"),
        ("admin.audit", "--client", "clinic", "--since", "2026-01-01"),
        ("admin.dead_letters", "list"),
    ):
        done = run(*command)
        assert done.returncode == 2, command
        assert "correct S3_BUCKET, or make it with `python -m admin.bucket`" in done.stderr, command
    assert client.get("/health/ready").json["missing"] == ["object-store"]
    assert wrong.s3_bucket not in buckets(objects)
    assert run("admin.bucket").returncode == run("admin.bucket").returncode == 0
    assert wrong.s3_bucket in buckets(objects)
    assert client.get("/health/ready").status_code == 200


def buckets(objects: Objects) -> set[str]:
    return {bucket["Name"] for bucket in objects._client.list_buckets()["Buckets"]}


def test_metrics_of_one_store_are_served_without_the_other(settings, ledger, queue, keys):
    without = Ledger(ledger.objects, View.connect(NO_REDIS, 60))
    text = client_of(settings, without, queue, keys).get("/metrics").text
    assert "osteo_redis_up 0.0" in text
    assert "osteo_object_store_up 1.0" in text
    assert "osteo_dead_letters 0.0" in text
    assert "osteo_jobs_waiting" not in text


def test_nothing_is_accepted_while_the_object_store_is_away(settings, ledger, queue, keys, redis):
    away = Ledger(Objects.connect("http://127.0.0.1:1", "osteo"), ledger.view)
    client = client_of(settings, away, queue, keys)
    answer = client.post("/v1/jobs", data=PNG, content_type="image/png")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/part-down")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/health/ready").json["missing"] == ["object-store"]
    assert redis.llen("infer.routine") == 0


def test_a_full_queue_is_answered_with_a_time_to_retry(settings, ledger, queue, keys):
    ledger.view.put(a_job("another"))
    client = client_of(replace(settings, max_queue=1), ledger, queue, keys)
    answer = client.post("/v1/jobs", data=PNG, content_type="image/png")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/queue-full")
    assert answer.headers["Retry-After"] == "60", "nothing was measured yet"
    assert list(ledger.pending()) == []


def test_the_time_to_retry_follows_the_measured_rate(settings, ledger, queue, keys, redis):
    for _ in range(20):
        ledger.view.put(a_job("another"))
    for back in range(7):  # the one that is not over yet, too: it may be over when the queue is asked
        redis.set(drained_key(time.time() - back * DRAIN_BUCKET), 5)
    client = client_of(replace(settings, max_queue=20), ledger, queue, keys)
    answer = client.post("/v1/jobs", data=PNG, content_type="image/png")
    assert answer.headers["Retry-After"] == "4", "two jobs to go, at half a job a second"


def test_a_submission_to_a_slow_queue_is_refused(settings, ledger, queue, keys):
    ledger.view.put(a_job(queued_at=now() - timedelta(hours=2)))
    client = client_of(settings, ledger, queue, keys)
    answer = client.post("/v1/jobs", data=PNG, content_type="image/png")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/queue-full")


def test_a_client_that_fills_its_queue_does_not_limit_others(settings, ledger, queue, keys):
    client = client_of(replace(settings, client_queue=2), ledger, queue, keys)
    answers = [client.post("/v1/jobs", data=PNG, content_type="image/png") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].json["type"] == "/problems/too-many-waiting"
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {keys.create('another')}"
    assert client.post("/v1/jobs", data=PNG, content_type="image/png").status_code == 202


def test_a_full_archive_limits_no_job_that_a_patient_waits_for(settings, ledger, queue, keys):
    ledger.view.put(a_job(priority="archive", queued_at=now() - timedelta(hours=2)))
    client = client_of(replace(settings, client_archive_queue=2, client_queue=2), ledger, queue, keys)

    def status(priority: str, key: str) -> int:
        answer = client.post(
            f"/v1/jobs?priority={priority}",
            data=PNG,
            content_type="image/png",
            headers={"Idempotency-Key": key},
        )
        if answer.status_code == 429:
            assert answer.json["type"] == "/problems/too-many-waiting"
            assert "archive" in answer.json["detail"]
        return answer.status_code

    assert [status("archive", key) for key in "ab"] == [202, 429]
    assert status("archive", "a") == 202, "a repetition adds no job"
    assert [status("stat", "c"), status("routine", "d")] == [202, 202]


def test_the_headers_of_a_quota_are_sent_before_it_is_used_up(settings, ledger, queue, keys):
    client = client_of(replace(settings, client_rate=2), ledger, queue, keys)
    answers = [client.post("/v1/jobs", data=PNG, content_type="image/png") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert [answer.headers["RateLimit"].split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0"]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"submissions";q=2;w=60'}
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert answers[2].json["type"] == "/problems/quota-exceeded"
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {keys.create('another')}"
    assert client.post("/v1/jobs", data=PNG, content_type="image/png").status_code == 202
    assert client.get("/v1/jobs").status_code == 200
