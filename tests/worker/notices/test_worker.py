"""Kills a real delivery worker between the sending of a notice and its marker."""

from dataclasses import replace

from jobs.reading.notices import NoticeIndex, Stage
from jobs.reading.policy import Policies
from tests.worker.delivery.test_fairness import await_that, delivery_worker
from tests.worker.notices.conftest import POLICY, a_reader, a_reading, mail_server


def test_a_worker_killed_after_it_sent_is_followed_by_one_that_sends_again(settings, ledger, inbox, tmp_path):
    Policies(ledger.records).put("clinic", POLICY)
    a_reader(ledger)
    with mail_server(inbox) as address:
        mailing = replace(settings, smtp_url=f"smtp://{address}", mail_from="osteo@osteo.example")
        with delivery_worker(mailing, tmp_path) as worker:
            inbox.meanwhile = worker.kill
            reading = a_reading(ledger)
            worker.wait(60)
        assert len(inbox.mails) == 1
        index = NoticeIndex(ledger.objects)
        assert index.told(reading.id, Stage.REQUESTED) == set()
        inbox.meanwhile = lambda: None
        with delivery_worker(mailing, tmp_path) as worker:
            # The killed one had the right to tell readers, which first has to end.
            await_that(lambda: index.told(reading.id, Stage.REQUESTED), "a notice", worker)
    first, second = (mail["Message-ID"] for _, mail in inbox.mails)
    assert first == second
