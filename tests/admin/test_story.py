"""Tests the story of a job, as its operator reads it: from real stores, with and without each of them."""

import json
import subprocess
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from admin.story import table_of
from jobs.lifecycle.deletion import delete
from jobs.lifecycle.manual_retry import retry_job
from jobs.record.ids import new_id
from jobs.record.job import now
from jobs.redis.agenda import AGENDA
from jobs.redis.delivery_queues import new_token
from jobs.settings import Settings
from jobs.store.audit import Audit, AuditEntry
from jobs.store.ledger import Ledger
from stack.addresses import free_ports
from tests.conftest import a_job, a_study, run_command, start_command

RESULT = {"finding": "fracture", "probability": 0.9, "regions": [{"box": [1, 2, 3, 4], "score": 0.8}]}
CALL = {"webhook_id": "msg_1", "attempt": 1, "status": 500, "duration_ms": 31, "answer": "Jane Doe"}
PATIENT = {"reference": "Jane Doe", "metadata": {"name": "Jane Doe"}}
RUNNER = "inference:host:1:a"


def told(settings: Settings, id_: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """What the command says with these settings."""
    return run_command(settings, "admin.story", id_, *options)


def story(settings: Settings, id_: str) -> list[dict[str, Any]]:
    done = told(settings, id_)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Jane" not in done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    return Audit(ledger.objects, ledger.view.redis)


@pytest.fixture
def retried(ledger: Ledger, audit: Audit):
    """A job that lost its worker, was retried, has succeeded, and was called back once in vain."""
    job = a_job(callback_url="https://clinic.example/", **PATIENT)
    ledger.accept(job, b"image")
    audit.record(AuditEntry("clinic", "submitJob", "key_1", job.id, 202, request="req_1"))
    audit.carry_over()
    failed = ledger.append(job.started(RUNNER, now())).failed("worker-lost", "It broke.", now())
    again = retry_job(ledger.append(failed), ledger)
    running = ledger.append(again.started(RUNNER, now()))
    begun = ledger.append(ledger.append(running.succeeded(RESULT, now())).delivery_begun(now()))
    call = {**CALL, "at": now().isoformat(timespec="milliseconds").replace("+00:00", "Z"), "error": None}
    ledger.append(begun.delivery_postponed(now() + timedelta(hours=1), call))
    audit.record(AuditEntry("clinic", "getJob", "key_2", job.id, 200))
    audit.record(AuditEntry("clinic", "getJob", "key_2", new_id("job"), 200))
    return job


def test_a_story_tells_versions_deliveries_and_acts_oldest_first(settings, retried):
    lines = story(settings, retried.id)
    *past, now_ = lines
    assert [line["at"] for line in past] == sorted(line["at"] for line in past)
    versions = of_kind(past, "version")
    states = [(line["version"], line["state"], line["attempts"]) for line in versions]
    assert states == [
        *((1, "queued", 0), (2, "running", 1), (3, "failed", 1), (4, "queued", 0), (5, "running", 1)),
        *((6, "succeeded", 1), (7, "succeeded", 1), (8, "succeeded", 1)),
    ]
    assert versions[2]["error"] == {"type": "worker-lost", "detail": "It broke."}
    assert (versions[-1]["finding"], versions[-1]["probability"]) == ("fracture", 0.9)
    (delivery,) = of_kind(past, "delivery")
    assert (delivery["status"], delivery["duration_ms"], delivery["attempt"]) == (500, 31, 1)
    acts = [(line["action"], line["key"], line["status"]) for line in of_kind(past, "act")]
    assert acts == [("submitJob", "key_1", 202), ("getJob", "key_2", 200)]
    assert (now_["kind"], now_["marker"], now_["dead_letter"]) == ("now", True, False)
    assert now_["callback_due_at"] > now_["at"]


def test_a_story_tells_which_reader_looked(settings, retried, audit):
    audit.record(AuditEntry("clinic", "viewed", subject=retried.id, status=200, reader="reader_1"))
    acts = of_kind(story(settings, retried.id), "act")
    assert [act["reader"] for act in acts if act["action"] == "viewed"] == ["reader_1"]


def test_a_story_tells_where_a_waiting_job_is(settings, ledger):
    first, second = (a_job(expires_at=now() + timedelta(days=1)) for _ in range(2))
    for job in (first, second):
        ledger.accept(job, b"image")
    place = story(settings, second.id)[-1]
    assert (place["state"], place["queue_position"], place["marker"]) == ("queued", 1, True)
    assert place["agenda_at"] == second.expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ledger.view.redis.delete(AGENDA)
    assert story(settings, second.id)[-1]["on_agenda"] is False


def test_a_story_tells_which_worker_holds_a_job_and_whether_it_lives(settings, ledger):
    job = a_job()
    ledger.accept(job, b"image")
    ledger.append(job.started(RUNNER, now()))
    ledger.view.heartbeats.beat(RUNNER)
    place = story(settings, job.id)[-1]
    assert (place["worker"], place["worker_lives"], place["queue_position"]) == (RUNNER, True, None)
    ledger.view.heartbeats.end(RUNNER)
    assert story(settings, job.id)[-1]["worker_lives"] is False


def test_a_story_tells_which_worker_makes_a_call(settings, ledger):
    job = a_job(callback_url="https://clinic.example/")
    ledger.accept(job, b"image")
    ledger.append(ledger.append(job.started(RUNNER, now())).succeeded(RESULT, now()))
    queues = ledger.view.delivery_queues
    assert [message.item for message in queues.next("clinic", "deliver")] == [job.id]
    assert queues.begin(job.id, new_token("delivery:host:2:b"), 60)
    place = story(settings, job.id)[-1]
    assert (place["worker"], place["worker_lives"]) == ("delivery:host:2:b", False)


def test_a_story_tells_a_dead_letter_from_any_other_failure(settings, ledger):
    for type_, dead in (("worker-lost", True), ("not-a-radiograph", False)):
        job = a_job()
        ledger.accept(job, b"image")
        ledger.append(ledger.append(job.started(RUNNER, now())).failed(type_, "It broke.", now()))
        assert story(settings, job.id)[-1]["dead_letter"] is dead


def test_the_story_of_a_study_tells_its_jobs_and_theirs_its_acts(settings, ledger, audit):
    study, jobs = a_study(2, **PATIENT)
    ledger.accept_study(study, [(job, b"image") for job in jobs])
    ended = ledger.append(jobs[0].started(RUNNER, now())).succeeded(RESULT, now())
    ledger.append(ended)
    lines = story(settings, study.id)
    told_jobs = [(line["id"], line["state"], line["finding"]) for line in of_kind(lines, "job")]
    assert told_jobs == [(jobs[0].id, "succeeded", "fracture"), (jobs[1].id, "queued", None)]
    assert (lines[-1]["record"], lines[-1]["state"]) == ("study", "running")
    delete(study.id, ledger)
    audit.record(AuditEntry("clinic", "deleteStudy", "key_1", study.id, 204))
    for id_ in (study.id, jobs[1].id):
        lines = story(settings, id_)
        assert [line["action"] for line in of_kind(lines, "act")] == ["deleteStudy"]
        assert [line["state"] for line in of_kind(lines, "version")] == ["erased"]
        assert lines[-1]["record"] == "tombstone"
    assert of_kind(story(settings, new_study(ledger).id), "act") == []


def new_study(ledger: Ledger):
    study, jobs = a_study(1)
    ledger.accept_study(study, [(job, b"image") for job in jobs])
    return study


def test_an_id_that_is_not_there_exits_1_and_a_wrong_one_2(settings, ledger):
    unknown = new_id("study")
    done = told(settings, unknown)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"there is no study {unknown}\n")
    assert told(settings, "../x").returncode == 2
    wrong = told(replace(settings, redis_url="http://x"), unknown)
    assert (wrong.returncode, "REDIS_URL" in wrong.stderr) == (2, True)


def test_without_redis_a_story_tells_the_rest_and_names_redis(settings, retried):
    silent = replace(settings, redis_url=f"redis://127.0.0.1:{free_ports(1)[0]}")
    *lines, missing = story(silent, retried.id)
    assert (missing["kind"], missing["store"]) == ("missing", "redis")
    assert missing["lacks"] == ["latest acts", "queue, agenda, worker"]
    assert len(of_kind(lines, "version")) == 8
    assert [line["action"] for line in of_kind(lines, "act")] == ["submitJob"]
    assert lines[-1]["marker"] is True
    assert "worker" not in lines[-1]


def test_without_the_object_store_a_story_tells_what_redis_shows(settings, retried):
    silent = replace(settings, s3_endpoint_url=f"http://127.0.0.1:{free_ports(1)[0]}")
    *lines, missing = story(silent, retried.id)
    assert (missing["kind"], missing["store"]) == ("missing", "object-store")
    assert of_kind(lines, "version")[-1]["version"] == 8
    assert [line["action"] for line in of_kind(lines, "act")] == ["getJob"]
    assert lines[-1]["on_agenda"] is True
    assert "marker" not in lines[-1]
    unknown = told(silent, new_id("job"))
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "object store does not answer" in unknown.stderr


def test_a_story_as_text_is_one_row_for_each_line(settings, retried):
    rows = start_command(settings, "admin.story", retried.id, "--text").stdout.splitlines()
    assert len(rows) == len(story(settings, retried.id))
    (row,) = (row for row in rows if "version 3" in row)
    assert "Z  version   version 3, state failed," in row
    assert "error worker-lost: It broke." in row
    assert "None" not in "".join(rows)
    assert "Jane" not in "".join(rows)
    (row,) = table_of([{"at": None, "kind": "now", "runner": "\x1b[2J"}])
    assert row.isprintable()
