"""Tells readers: whom, when, once, what, after a crash, in quiet hours, and past a server that is slow."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from jobs.lifecycle.deletion import delete
from jobs.reading.follow_up import follow_up
from jobs.reading.notices import NoticeIndex, Stage
from jobs.reading.quiet_hours import quiet_hours
from jobs.reading.readers import Readers
from jobs.reading.readings import Readings, arbitration_id_of
from jobs.record.errors import StoreUnavailable
from jobs.record.job import now
from jobs.store.records import Records
from tests.conftest import await_that
from tests.worker.conftest import Receiver
from tests.worker.notices.conftest import POLICY, Browser, a_reader, a_reading, tell
from worker.notices.lease import Lease
from worker.notices.notify import notify, notify_until
from worker.notices.outbox import Outbox
from worker.sweeper.purge import purge

PRIVATE = ("4711", "Erika", "Mustermann", "wrist", "clinic", "job_", "reading_", "fracture", "Fracture")


def told(inbox) -> list[str]:
    """To whom mail went, oldest first."""
    return [to.partition("@")[0] for to, _ in inbox.mails]


def left(ledger) -> list[str]:
    """The stages that readers have yet to be told of."""
    return [key.rpartition(".")[2] for key in ledger.objects.keys("readings/notices/")]


def claimed(ledger, reading, reader="reader_x"):
    return Readings(ledger).change(reading, lambda present: present.claimed(reader, "Ada", now()))


def test_the_text_says_where_until_when_how_urgent_and_nothing_else(mailing, ledger, inbox, receiver, caplog):
    caplog.set_level(logging.DEBUG, "worker")
    browser, reader = Browser(receiver), a_reader(ledger)
    mailing.subscriptions.add(reader, browser.subscription)
    reading = a_reading(ledger, priority="stat")
    tell(mailing)
    ((to, mail),) = inbox.mails
    due = f"Due: {reading.due_at:%Y-%m-%d %H:%M} UTC. Priority: stat."
    assert mail.get_content().splitlines() == ["A reading waits.", "", "https://osteo.example/read", "", due]
    assert (to, mail["From"], mail["Subject"]) == (
        "ada@clinic.example",
        "Osteo <osteo@osteo.example>",
        "A reading waits.",
    )
    (message,) = browser.messages()
    text = str(mail).replace("ada@clinic.example", "") + str(message)
    assert not [word for word in PRIVATE if word in text]
    logs = "".join(record.getMessage() for record in caplog.records if record.name.startswith("worker"))
    assert "notice by mail: sent" in logs
    assert "notice by push: sent" in logs
    assert not [word for word in ("ada@", receiver.url, "Erika") if word in logs]


def test_a_reading_that_the_store_cannot_serve_holds_up_no_other(mailing, ledger, inbox, monkeypatch):
    a_reader(ledger)
    bad, _ = a_reading(ledger), a_reading(ledger)
    at, get = now() + timedelta(seconds=2), ledger.objects.get

    def fails_for_one(key: str) -> bytes:
        if bad.id in key:
            raise StoreUnavailable(f"the object store answered InternalError for {key}")
        return get(key)

    with monkeypatch.context() as patched:
        patched.setattr(ledger.objects, "get", fails_for_one)
        tell(mailing, at)
        assert len(inbox.mails) == 1
    tell(mailing, at)
    assert len(inbox.mails) == 1, "it waits for a while"
    tell(mailing, at + timedelta(minutes=2))
    assert len(inbox.mails) == 2


def test_each_reader_of_the_group_is_told_once_of_each_stage(mailing, ledger, inbox):
    for name in ("ada", "bob"):
        a_reader(ledger, name)
    Readers(ledger.records).create("cy", frozenset({"chests"}), None, "cy@clinic.example")
    Readers(ledger.records).disable(a_reader(ledger, "dan"))
    reading = a_reading(ledger)
    half = reading.requested_at + (reading.due_at - reading.requested_at) / 2
    for at, mails in ((now() + timedelta(seconds=2), 2), (half, 4), (reading.due_at, 6)):
        for later in (0, 1, 60, 3600):
            tell(mailing, at + timedelta(seconds=later + 1))
            assert len(inbox.mails) == mails, (at, later)
    assert sorted(told(inbox)) == ["ada"] * 3 + ["bob"] * 3
    assert len({mail["Message-ID"] for _, mail in inbox.mails}) == 6
    assert left(ledger) == []
    assert not [*ledger.objects.keys("readings/noticed/")]


def test_a_claim_ends_the_notices_until_it_is_due_and_a_signature_all(mailing, ledger, inbox):
    a_reader(ledger)
    reading, signed = claimed(ledger, a_reading(ledger)), a_reading(ledger)
    signed = claimed(ledger, signed)
    Readings(ledger).change(signed, lambda p: p.canceled(now()))
    half = reading.requested_at + (reading.due_at - reading.requested_at) / 2
    tell(mailing, half + timedelta(seconds=2))
    assert inbox.mails == []
    tell(mailing, reading.due_at + timedelta(seconds=2))
    assert told(inbox) == ["ada"]


def test_the_reader_who_disagreed_is_not_told_of_the_arbitration(mailing, ledger, inbox):
    first, _ = a_reader(ledger, "ada"), a_reader(ledger, "bob")
    reading = claimed(ledger, a_reading(ledger), first)
    tell(mailing)
    inbox.mails.clear()
    job = ledger.current(reading.job)
    Readings(ledger).request(job, POLICY, arbitration_id_of(reading), arbitrates=reading)
    tell(mailing)
    assert told(inbox) == ["bob"]


def test_a_process_that_dies_before_the_marker_tells_once_more(mailing, ledger, inbox, monkeypatch):
    a_reader(ledger)
    reading = a_reading(ledger)

    def die(*_: object) -> None:
        raise StoreUnavailable("killed")

    with monkeypatch.context() as dying:
        dying.setattr(NoticeIndex, "note", die)
        tell(mailing)
    assert told(inbox) == ["ada"]
    for later in (20, 60, 120):
        tell(mailing, now() + timedelta(seconds=later))
    assert told(inbox) == ["ada", "ada"], "at least once, and no more often than processes died"
    assert len({mail["Message-ID"] for _, mail in inbox.mails}) == 1
    assert NoticeIndex(ledger.objects).told(reading.id, Stage.REQUESTED)


def test_a_process_that_dies_before_it_sends_loses_no_notice(mailing, ledger, inbox):
    a_reader(ledger)
    a_reading(ledger)

    class Dead(Outbox):
        def offer(self, notice) -> None:
            pass

    notify(now() + timedelta(seconds=2), mailing, Dead(NoticeIndex(ledger.objects)))
    tell(mailing, now() + timedelta(seconds=20))
    assert told(inbox) == ["ada"]


def test_a_request_whose_process_dies_after_the_record_is_told(mailing, ledger, queue, inbox, monkeypatch):
    a_reader(ledger)
    create = Records.create

    def create_and_die(records: Records, key: str, body: bytes) -> None:
        create(records, key, body)
        raise StoreUnavailable("killed")

    with monkeypatch.context() as dying:
        dying.setattr(Records, "create", create_and_die)
        with pytest.raises(StoreUnavailable):
            a_reading(ledger)
    tell(mailing)
    assert inbox.mails == []
    (job_id,) = (key.split("/")[1] for key in ledger.objects.keys("jobs/") if "/readings/" in key)
    (reading,) = Readings(ledger).of_job(job_id)
    follow_up(reading.id, job_id, now(), ledger, queue)
    tell(mailing, now() + timedelta(minutes=3))
    assert told(inbox) == ["ada"]


def test_of_two_processes_one_tells(mailing, ledger, redis, inbox):
    assert Lease(redis).held()
    assert not Lease(redis).held()
    redis.flushall()
    a_reader(ledger)
    a_reading(ledger)
    stop = Event()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(notify_until, stop, mailing) for _ in range(2)]
        await_that(lambda: inbox.mails and left(ledger).count("requested") == 1)
        stop.set()
    assert [thread.exception() for thread in running] == [None, None]
    assert told(inbox) == ["ada"]


def test_in_quiet_hours_stat_is_told_and_routine_waits(mailing, ledger, inbox):
    reader = a_reader(ledger)
    at = now() + timedelta(seconds=2)
    begin, end = at - timedelta(hours=1), at + timedelta(hours=1)
    mailing.readers.set_quiet(reader, f"{begin:%H:%M}-{end:%H:%M} UTC")
    routine = a_reading(ledger, priority="routine")
    tell(mailing, at)
    assert inbox.mails == []
    a_reading(ledger, priority="stat")
    tell(mailing, at)
    assert len(inbox.mails) == 1
    inbox.mails.clear()
    tell(mailing, end + timedelta(seconds=61))
    contents = [mail.get_content() for _, mail in inbox.mails]
    assert [text for text in contents if "routine" in text and f"{routine.due_at:%H:%M} UTC" in text]


@pytest.mark.parametrize(
    ("hours", "at", "until"),
    [
        ("22:00-07:00 Europe/Berlin", "2026-11-28T21:30Z", "2026-11-29T06:00Z"),
        ("22:00-07:00 Europe/Berlin", "2026-11-28T05:59Z", "2026-11-28T06:00Z"),
        ("22:00-07:00 Europe/Berlin", "2026-11-28T06:00Z", None),
        ("22:00-07:00 Europe/Berlin", "2026-11-28T20:59Z", None),
        ("22:00-07:00 Europe/Berlin", "2026-03-28T22:00Z", "2026-03-29T05:00Z"),
        ("12:00-13:30 UTC", "2026-11-28T12:00Z", "2026-11-28T13:30Z"),
        ("12:00-13:30 UTC", "2026-11-28T13:30Z", None),
    ],
)
def test_quiet_hours_end_by_the_clocks_of_their_zone(hours, at, until):
    moment = datetime.fromisoformat(at)
    assert quiet_hours(hours).until(moment) == (until and datetime.fromisoformat(until).astimezone(UTC))


@pytest.mark.parametrize(
    "text",
    ["", "22-7", "22:00-07:00", "25:00-07:00 UTC", "07:00-07:00 UTC", "22:00-07:00 Moon", "22:00-07:00 ../x"],
)
def test_what_are_no_quiet_hours_is_refused(text):
    with pytest.raises(ValueError, match="no quiet hours"):
        quiet_hours(text)


def test_a_mail_server_that_hangs_delays_no_push_no_purge_and_no_round(
    mailing, ledger, queue, inbox, receiver
):
    reader, hold = a_reader(ledger), Event()
    mailing.subscriptions.add(reader, Browser(receiver).subscription)
    inbox.meanwhile = lambda: hold.wait(60)
    reading = a_reading(ledger)
    outbox = Outbox(NoticeIndex(ledger.objects))
    notify(now() + timedelta(seconds=2), mailing, outbox)
    try:
        await_that(lambda: receiver.received)
        # The mail is still on its way. Meanwhile jobs are deleted, and other rounds run.
        notify(now() + timedelta(seconds=30), mailing, outbox)
        purge(ledger, queue)
        delete(reading.job, ledger)
        assert not outbox.idle()
    finally:
        hold.set()
    await_that(outbox.idle)
    assert len(inbox.mails) == len(receiver.received) == 1


def test_a_push_service_that_hangs_delays_no_other_service_and_no_mail(mailing, ledger, inbox, receiver):
    slow, hold = Receiver(), Event()
    slow.meanwhile = lambda: hold.wait(60)
    for name, service in (("ada", slow), ("bob", receiver)):
        mailing.subscriptions.add(a_reader(ledger, name), Browser(service).subscription)
    a_reading(ledger)
    outbox = Outbox(NoticeIndex(ledger.objects))
    notify(now() + timedelta(seconds=2), mailing, outbox)
    try:
        await_that(lambda: receiver.received and len(inbox.mails) == 2)
        assert slow.received
        assert not outbox.idle()
    finally:
        hold.set()
        await_that(outbox.idle)
        slow.close()


def test_an_address_that_is_refused_delays_no_other_and_is_tried_again(mailing, ledger, inbox, caplog):
    for name in ("ada", "bob", "cy"):
        a_reader(ledger, name)
    inbox.refuses = {"ada@clinic.example", "bob@clinic.example"}
    a_reading(ledger)
    outbox = tell(mailing)
    assert told(inbox) == ["cy"]
    inbox.refuses = set()
    tell(mailing, now() + timedelta(seconds=30), outbox)
    assert sorted(told(inbox)) == ["ada", "bob", "cy"]
    assert "ada" not in caplog.text


def test_an_address_that_no_server_takes_does_not_pause_the_mail_of_others(
    mailing, ledger, inbox, monkeypatch
):
    with pytest.raises(ValueError, match="in ASCII"):
        a_reader(ledger, "m\u00fcller")
    # Readers of an earlier version may have such an address.
    monkeypatch.setattr("jobs.reading.reader._EMAIL", re.compile(".*"))
    for number in range(5):
        a_reader(ledger, f"m\u00fcller{number}")
    a_reader(ledger, "bob")
    a_reading(ledger)
    assert tell(mailing)._paused == {}
    assert told(inbox) == ["bob"]


def test_a_server_that_does_not_answer_is_paused_and_its_mail_sent_later(mailing, ledger, inbox, monkeypatch):
    for number in range(5):
        a_reader(ledger, f"ada{number}")
    a_reading(ledger)
    assert mailing.mail_server
    away = replace(mailing, mail_server=replace(mailing.mail_server, port=1))
    outbox = tell(away)
    assert len(outbox._paused) == 1
    tell(mailing, now() + timedelta(seconds=30), outbox)
    assert inbox.mails == []
    monkeypatch.setattr("worker.notices.outbox.time.monotonic", lambda: 1e12)
    tell(mailing, now() + timedelta(seconds=60), outbox)
    assert len(inbox.mails) == 5
    assert outbox._paused == {}


def test_a_job_that_is_deleted_during_a_notice_leaves_no_note_of_it(mailing, ledger, inbox):
    a_reader(ledger)
    reading = a_reading(ledger)
    inbox.meanwhile = lambda: delete(reading.job, ledger)
    tell(mailing)
    assert len(inbox.mails) == 1
    assert not [*ledger.objects.keys("readings/noticed/")]


def test_the_deletion_of_a_job_erases_whom_was_told(mailing, ledger, inbox):
    a_reader(ledger)
    reading = a_reading(ledger)
    tell(mailing)
    assert [*ledger.objects.keys(f"readings/noticed/{reading.id}/")]
    delete(reading.job, ledger)
    assert not [*ledger.objects.keys("readings/noticed/")]
    tell(mailing, reading.due_at + timedelta(days=1))
    assert len(inbox.mails) == 1
    assert left(ledger) == []
