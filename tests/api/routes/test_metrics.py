"""Tests the metrics, parsed by the client of Prometheus."""

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from jobs.reading.follow_up import follow_up
from jobs.reading.policy import ReadingPolicy
from jobs.reading.readings import Readings
from jobs.record.job import moment_text, now
from jobs.redis.queue import JobQueue
from jobs.store.receivers import Receivers
from tests import pictures
from tests.api.conftest import Api

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
