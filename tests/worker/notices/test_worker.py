"""Kills a real delivery worker between the sending of a notice and its marker."""

from dataclasses import replace

from jobs.reading.notices import NoticeIndex, Stage
from jobs.reading.policy import Policies
from tests.worker.delivery.test_fairness import await_that, delivery_worker
from tests.worker.notices.conftest import POLICY, a_reader, a_reading, mail_server


def test_a_worker_killed_after_it_sent_is_followed_by_one_that_sends_again(
    settings, ledger, redis, inbox, tmp_path
):
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
        # The killed one had the right to tell readers. It ends by itself; here it ends sooner.
        assert redis.ttl("notices") != -1
        redis.expire("notices", 1)
        with delivery_worker(mailing, tmp_path) as worker:
            await_that(lambda: index.told(reading.id, Stage.REQUESTED), "a notice", worker)
    first, second = (mail["Message-ID"] for _, mail in inbox.mails)
    assert first == second
