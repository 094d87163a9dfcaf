"""Studies, test events and redelivery by both clients, over a real API."""

import pytest

from jobs.lifecycle.next_step import pass_on
from jobs.record.job import now
from osteo_client import CallbackRefused, NotEnded, Problem
from tests.client.conftest import PNG, RESULT, Api
from tests.conftest import WatchedQueue

HOOK = "https://clinic.example/hook"


def test_a_study_is_submitted_waited_for_and_redelivered(connect, api: Api, servers):
    client, queue = connect(api.url, api.key), WatchedQueue.connect(servers.redis_url)
    study = client.submit_study([PNG, PNG], reference="R 1", callback_url=HOOK)
    assert (study.state, study.reference, len(study.jobs), study.ended) == ("queued", "R 1", 2, False)
    with pytest.raises(NotEnded):
        client.wait_for_study(study.id, timeout=0)
    for job_id, probability in zip(study.jobs, (0.2, 0.9), strict=True):
        running = api.ledger.append(api.ledger.read(job_id).started("w", now()))
        ended = running.succeeded(RESULT | {"probability": probability}, now())
        pass_on(api.ledger.append(ended), api.ledger, queue)
    study = client.wait_for_study(study.id)
    assert study.summary is not None
    assert (study.state, study.summary.probability, study.summary.job) == ("succeeded", 0.9, study.jobs[1])
    client.redeliver(study.id)
    assert client.study(study.id).delivery == "pending"
    with pytest.raises(Problem):
        client.redeliver(client.submit_study([PNG]).id)


def test_a_test_event_is_sent_and_asked_for(connect, api: Api):
    client = connect(api.url, api.key)
    probe = client.send_probe(HOOK)
    assert (probe.callback_url, probe.called, probe.status) == (HOOK, False, None)
    assert client.probe(probe.id) == probe
    with pytest.raises(CallbackRefused):
        client.send_probe("https://127.0.0.1/hook")
