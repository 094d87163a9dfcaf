"""Tests the metrics, parsed by the client of Prometheus."""

import time
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.models.roll_out import RollOuts
from jobs.reading.follow_up import follow_up
from jobs.reading.policy import ReadingPolicy
from jobs.reading.readings import Readings
from jobs.record.job import moment_text, now
from jobs.redis.queue import JobQueue
from jobs.store.receivers import Receivers
from jobs.store.served_model import publish
from tests import pictures
from tests.api.conftest import RESULT, Api, serving

PNG = pictures.encoded(pictures.gray())


def figures(api: Api) -> dict[tuple[str, str], float]:
    response = api.request("GET", "/metrics", key="")
    assert response.status == 200, response.data
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.data.decode())
        for sample in family.samples
    }


def test_metrics_follow_jobs_callbacks_and_receivers(api: Api, servers):
    ledger = api.ledger
    before = figures(api)
    ids = [api.submit(PNG, callback_url="https://clinic.example/hook").json()["id"] for _ in range(3)]
    waiting = figures(api)
    assert waiting["osteo_jobs_waiting", "routine"] == 3
    assert 0 <= waiting["osteo_jobs_oldest_seconds", "routine"] < 60
    assert waiting["osteo_jobs_pending",] - before["osteo_jobs_pending",] == 3
    first, second, third = (ledger.read(job_id) for job_id in ids)
    ended = ledger.append(ledger.append(first.started("inference:a:1", now())).succeeded({}, now()))
    ledger.settle(ledger.append(ended.delivery_begun(now()).delivered()))
    ledger.append(ledger.append(second.started("inference:a:1", now())).handed_back(now()))
    running = ledger.append(third.started("inference:a:1", now()))
    ledger.append(running.failed("worker-lost", "Lost three times.", now()))
    receivers = Receivers(api.records)
    receivers.failed(receivers.of("clinic", "https://clinic.example:443"), now(), gone=True)
    ledger.view.heartbeats.beat("inference:a:1")
    after = figures(api)
    assert after["osteo_jobs_waiting", "routine"] == 1
    assert after["osteo_jobs_ended_total", "succeeded"] == after["osteo_jobs_ended_total", "failed"] == 1
    assert after["osteo_deliveries_total", "delivered"] == 1
    assert after["osteo_attempts_lost_total",] == 1
    assert after["osteo_receivers", "disabled"] - before["osteo_receivers", "disabled"] == 1
    assert after["osteo_dead_letters",] - before["osteo_dead_letters",] == 1
    assert after["osteo_processes", "inference"] == 1
    assert (after["osteo_redis_up",], after["osteo_object_store_up",]) == (1, 1)


def test_metrics_follow_readings(api: Api, servers):
    ledger, before = api.ledger, figures(api)
    assert before["osteo_readings_waiting", "stat"] == before["osteo_readings_overdue", "stat"] == 0
    readings, policy = Readings(ledger), ReadingPolicy(groups=("bones",))
    jobs = [ledger.read(api.submit(PNG).json()["id"]) for _ in range(2)]
    since = now() - timedelta(hours=2)
    late, signed = (readings.request(job, policy, priority="stat", due_at=since) for job in jobs)
    follow_up(late.id, late.job, now(), ledger, JobQueue.connect(servers.redis_url))
    signed = readings.change(signed, lambda reading: reading.claimed("reader_a", "Ada", now()))
    readings.save(
        signed, lambda reading: reading.committed_with("fracture", [], True, {"kind": "missed"}, now())
    )
    readings.change(
        signed,
        lambda reading: reading.signed(
            {"number": 1, "reader": "reader_a", "at": moment_text(now())}, {"kind": "missed"}, now()
        ),
    )
    after = figures(api)
    assert (after["osteo_readings_waiting", "stat"], after["osteo_readings_waiting", "routine"]) == (1, 0)
    assert 0 < after["osteo_readings_oldest_seconds", "stat"] < 60
    assert (after["osteo_readings_overdue", "stat"], after["osteo_readings_overdue_total", "stat"]) == (1, 1)
    assert after["osteo_reading_turnaround_seconds_count", "stat"] == 1
    assert after["osteo_reading_turnaround_seconds_bucket", "300.0", "stat"] == 1
    assert after["osteo_reading_disagreement_total", "missed"] == 1


def test_metrics_tell_within_which_time_stat_jobs_had_their_answers(api: Api, servers):
    ledger, before = api.ledger, figures(api)
    job = ledger.read(api.submit(PNG, priority="stat").json()["id"])
    started = ledger.append(job.started("inference:a:1", now()))
    ledger.append(started.succeeded(RESULT, job.created_at + timedelta(seconds=29)))

    def more(*name: str) -> float:
        return figures(api)[name] - before[name]

    assert more("osteo_job_answer_seconds_bucket", "20.0", "stat") == 0
    assert more("osteo_job_answer_seconds_bucket", "30.0", "stat") == 1
    assert more("osteo_job_answer_seconds_count", "stat") == 1
    assert round(more("osteo_job_answer_seconds_sum", "stat")) == 29


def test_metrics_tell_the_reference_of_the_model_in_service(api: Api):
    served = {"bundle": "d" * 64, "reference": {"n": 8, "probabilities": [4, 0, 1] + 6 * [0] + [3]}}
    served["reference"]["indeterminate"] = 0.25
    publish(api.objects, served)
    found = figures(api)
    upto = {le: n for (name, *labels), n in found.items() if "reference_probability" in name for le in labels}
    assert ("osteo_model_reference_probability_bucket", "d" * 64, "0.2") in found
    assert {le: n for le, n in upto.items() if le != "d" * 64} == {
        **dict.fromkeys(("0.1", "0.2"), 4),
        **dict.fromkeys(("0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"), 5),
        **dict.fromkeys(("1.0", "+Inf"), 8),
    }
    assert found["osteo_model_reference_indeterminate_ratio", "d" * 64] == 0.25


@pytest.mark.parametrize("reference", [{}, {"reference": None}])
def test_a_model_without_a_reference_has_none_in_the_metrics(api: Api, reference: dict):
    publish(api.objects, {"bundle": "d" * 64, **reference})
    found = figures(api)
    assert found["osteo_object_store_up",] == 1
    assert not [name for name, *_ in found if "reference" in name]


def test_metrics_tell_which_share_of_jobs_the_shadow_gets(api: Api):
    roll_outs = RollOuts(api.records)
    assert figures(api)["osteo_shadow_ratio",] == 0
    roll_outs.change(lambda roll_out: roll_out.with_shadow("e" * 64, 25))
    deadline = time.monotonic() + 180
    while figures(api)["osteo_shadow_ratio",] != 0.25:
        assert time.monotonic() < deadline, "the API has not read the roll-out again"
    roll_outs.change(lambda roll_out: roll_out.with_shadow("e" * 64, 0))


def test_what_has_not_happened_yet_is_counted_as_0(api: Api):
    found = figures(api)
    for state in ("succeeded", "failed", "expired", "canceled"):
        assert ("osteo_jobs_ended_total", state) in found
    for outcome in ("delivered", "failed", "disabled"):
        assert ("osteo_deliveries_total", outcome) in found
    for priority in ("stat", "routine"):
        assert ("osteo_job_answer_seconds_count", priority) in found


def test_metrics_name_clients_only_where_the_operator_has_set_it(api: Api, servers, tmp_path):
    url = "https://clinic.example/hook"
    job = api.ledger.read(api.submit(PNG, priority="stat", callback_url=url).json()["id"])
    api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    api.submit(PNG, priority="stat")
    assert [name for name in figures(api) if "clinic" in name] == []
    with serving(servers, tmp_path, metrics_clients=1) as (other, _):
        named = {name: value for name, value in figures(other).items() if "clinic" in name}
    assert named["osteo_client_jobs_waiting", "clinic", "stat"] >= 1
    assert named["osteo_client_jobs_oldest_seconds", "clinic", "stat"] >= 0
    assert named["osteo_client_callbacks_waiting", "clinic"] >= 1
