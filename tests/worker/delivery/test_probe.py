import pytest

from jobs.record.job import now
from jobs.store.probes import Probes
from tests.worker.conftest import send_probe


@pytest.fixture
def probes(ledger) -> Probes:
    return Probes(ledger.records)


def test_a_probe_is_sent_signed_and_its_answer_kept(probes, context, receiver):
    receiver.status = 401
    probe_id = probes.create("clinic", receiver.url)
    send_probe(probe_id, context)
    delivery = probes.read("clinic", probe_id)["delivery"]
    assert (delivery["status"], delivery["webhook_id"]) == (401, f"msg_{probe_id}")
    ((headers, body),) = receiver.received
    assert headers["webhook-signature"].startswith("v1,")
    assert b'"webhook.test"' in body


def test_a_receiver_that_takes_a_probe_is_called_again(probes, context, receiver):
    origin = receiver.url.removesuffix("/hook?a=1")
    context.receivers.failed(context.receivers.of("clinic", origin), now(), gone=True)
    assert context.receivers.of("clinic", origin).disabled_at
    send_probe(probes.create("clinic", receiver.url), context)
    assert list(context.receivers.failing("clinic")) == []
