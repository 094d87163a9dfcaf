"""Tests the operator's page: what waits, by client, and that it is for the group `operators` alone."""

import re
from datetime import timedelta

import pytest

from jobs.record.errors import QueueAway, StoreUnavailable
from jobs.record.job import now
from jobs.record.states import Delivery, Priority
from jobs.store.audit import Audit
from jobs.store.receivers import Receivers
from tests.api.reading_room.conftest import Browser
from tests.conftest import a_job

URL = "https://clinic.example/hook"


@pytest.fixture
def operator(app, readers) -> Browser:
    key, _ = readers.create("Olga Operator", frozenset({"operators"}))
    browser = Browser(app.test_client())
    assert browser.sign_in(key).status_code == 303
    return browser


def text_of(browser: Browser) -> str:
    answer = browser.open("/read/operator")
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def test_the_page_of_an_idle_service_says_that_nothing_waits(operator: Browser, ledger):
    ledger.view.heartbeats.beat("inference:a:1")
    page = text_of(operator)
    assert "1 inference, no delivery , no sweeper" in page
    assert "No job waits. Callbacks that wait, by receiver 0 delivered and 0 given up" in page
    assert (
        "No callback waits. Receivers that fail No receiver fails. Dead letters There is no dead letter."
        in page
    )


@pytest.mark.parametrize(("living", "shown"), [((), "no sweeper Jobs"), (("shadow:a:1",), "1 shadow Jobs")])
def test_a_shadow_is_on_the_page_only_while_it_lives(operator: Browser, ledger, living, shown):
    for process in living:
        ledger.view.heartbeats.beat(process)
    assert shown in text_of(operator)


def test_the_page_is_audited_once_an_hour(operator: Browser, readers, ledger, redis):
    for _ in range(2):
        operator.open("/read/operator")
    audit = Audit(ledger.objects, redis)
    acts = [*audit.entries(now() - timedelta(minutes=5)), *audit.waiting()]
    (reader,) = readers.all()
    (act,) = (one for one in acts if one["action"] == "readOperatorPage")
    assert (act["reader"], act["status"], act["subject"]) == (reader.id, 200, None)


def test_the_page_has_each_clients_queue_callbacks_and_dead_letters(operator: Browser, ledger):
    hour = now() - timedelta(hours=1, minutes=5)
    for job in (
        a_job("clinic-a", priority=Priority.STAT, queued_at=hour, reference="Mary Miller"),
        a_job("clinic-b"),
        a_job("clinic-b"),
    ):
        ledger.view.put(job)
    owed = a_job("clinic-c", URL, delivery=Delivery.PENDING)
    ledger.view.put(owed.started("w", hour).succeeded({"finding": "fracture"}, hour))
    lost = a_job("clinic-d", reference="Mary Miller")
    ledger.accept(lost, b"image")
    failed = ledger.append(lost.started("w", now())).failed("worker-lost", "Lost three times.", now())
    ledger.append(failed)
    receivers = Receivers(ledger.records)
    receivers.failed(receivers.of("clinic-c", "https://clinic.example:443"), now(), gone=True)
    page = text_of(operator)
    assert "stat 1 1 h 5 min clinic-a" in page
    assert re.search(r"routine 2 \S+( \S+)* clinic-b", page)
    assert "clinic-c 1 since 1 h 5 min https://clinic.example:443" in page
    assert re.search(r"clinic-c \S+ \S+ UTC not called any more https://clinic.example:443", page)
    assert f"worker-lost clinic-d {lost.id}" in page
    assert "Mary Miller" not in page


def test_a_reader_of_another_group_has_no_such_page_and_no_link_to_it(app, signing):
    key, _ = signing
    browser = Browser(app.test_client())
    browser.sign_in(key)
    answer = browser.open("/read/operator")
    assert answer.status_code == 404
    assert "clinic" not in answer.text
    assert "/read/operator" not in browser.open("/read").text


def test_without_a_session_the_page_leads_to_the_page_for_signing_in(app):
    answer = Browser(app.test_client()).open("/read/operator")
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/read/sign-in?next=/read/operator")


def test_the_page_needs_no_script_and_has_a_link_to_it(operator: Browser):
    answer = operator.open("/read/operator")
    assert "<script" not in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert operator.open("/read/operator", "POST").status_code in (403, 405)
    assert 'href="/read/operator"' in operator.open("/read").text


def test_a_store_that_is_away_is_named_and_the_rest_is_shown(operator: Browser, ledger, monkeypatch):
    def away(*_: object) -> None:
        raise QueueAway("away")

    monkeypatch.setattr(type(ledger.view.client_queues), "by_client", away)
    assert "Redis does not answer: its queues cannot be shown. Receivers that fail" in text_of(operator)
    monkeypatch.undo()

    def refused(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(type(ledger), "dead_letters", refused)
    page = text_of(operator)
    assert "No job waits." in page
    assert "The object store does not answer: receivers and dead letters cannot be shown." in page
