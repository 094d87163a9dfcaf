"""A reader asks to be told in a browser, and ends it; another session's form and a private address do not."""

from http.cookies import SimpleCookie

import pytest

from api.reading_room.push import COOKIE
from jobs.reading.readers import Readers
from jobs.web_push.subscriptions import PushSubscriptions
from jobs.web_push.vapid import Vapid
from tests.api.reading_room.conftest import OWN
from tests.conftest import SIGNING_KEY
from tests.worker.conftest import receiver
from tests.worker.notices.conftest import Browser as Subscriber
from tests.worker.notices.conftest import a_reading, tell
from worker.notices.notify import NoticeContext

__all__ = ["receiver"]


@pytest.fixture
def browser(receiver) -> Subscriber:
    return Subscriber(receiver)


@pytest.fixture
def fields(browser) -> dict[str, str]:
    made = browser.subscription
    return {"endpoint": made.endpoint, "p256dh": made.p256dh, "auth": made.auth}


@pytest.fixture
def stored(ledger) -> PushSubscriptions:
    return PushSubscriptions(ledger.records)


def send(person, path: str, fields: dict[str, str], token: str | None = None):
    token = person.token("/read/own") if token is None else token
    return person.open(path, "POST", {"Origin": OWN, "X-CSRF-Token": token}, data=fields)


def test_a_reader_subscribes_is_told_and_ends_it(person, signing, ledger, settings, browser, fields, stored):
    key, reader = signing
    person.sign_in(key)
    token = person.token("/read/own")
    state = {"public_key": Vapid(SIGNING_KEY).public_key, "csrf": token}
    assert person.open("/read/push").json == state | {"subscribed": False}
    answer = send(person, "/read/push", fields)
    assert answer.status_code == 204
    sent = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert (sent["path"], sent["samesite"], sent["httponly"], sent["secure"]) == (
        "/read",
        "Strict",
        True,
        True,
    )
    assert stored.of(reader.id) == [browser.subscription]
    assert person.open("/read/push").json == state | {"subscribed": True}
    a_reading(ledger, groups=("msk",))
    tell(NoticeContext.of(settings, ledger))
    assert browser.messages() == ["A reading waits."]
    assert send(person, "/read/push/end", {}).status_code == 204
    assert (stored.of(reader.id), person.cookie(COOKIE)) == ([], None)
    assert person.open("/read/push").json == state | {"subscribed": False}


def test_a_new_subscription_of_a_browser_replaces_its_old_one(person, signing, receiver, fields, stored):
    key, reader = signing
    person.sign_in(key)
    send(person, "/read/push", fields)
    send(person, "/read/push", fields | {"endpoint": f"{receiver.url}&later"})
    assert [kept.endpoint for kept in stored.of(reader.id)] == [f"{receiver.url}&later"]


def test_signing_out_ends_the_subscription_of_this_browser_alone(
    app,
    person,
    browser_of,
    signing,
    receiver,
    fields,
    stored,
):
    key, reader = signing
    elsewhere = browser_of(app)
    for one, endpoint in ((person, receiver.url), (elsewhere, f"{receiver.url}&elsewhere")):
        one.sign_in(key)
        send(one, "/read/push", fields | {"endpoint": endpoint})
    assert send(person, "/read/sign-out", {}).status_code == 303
    assert [kept.endpoint for kept in stored.of(reader.id)] == [f"{receiver.url}&elsewhere"]
    assert person.cookie(COOKIE) is None


def test_another_reader_in_the_same_browser_is_not_subscribed(person, signing, readers, fields, stored):
    key, reader = signing
    person.sign_in(key)
    send(person, "/read/push", fields)
    person.client.delete_cookie("osteo_session", domain="osteo.example", path="/read")
    person.sign_in(readers.create("Dr. Bob Bone", frozenset({"msk"}))[0])
    assert person.open("/read/push").json["subscribed"] is False
    send(person, "/read/push/end", {})
    assert len(stored.of(reader.id)) == 1


@pytest.mark.parametrize("end", [Readers.disable, Readers.rotate])
def test_a_session_that_another_process_ended_subscribes_no_more(
    person, signing, ledger, fields, stored, end
):
    key, reader = signing
    person.sign_in(key)
    token = person.token("/read/own")
    end(Readers(ledger.records, 0), reader.id)
    # The process still trusts what it has read of the reader.
    assert send(person, "/read/push", fields, token).status_code == 401
    assert stored.of(reader.id) == []


def test_without_an_address_for_push_services_no_key_is_offered(process, browser_of, signing):
    person = browser_of(process(public_url="http://osteo.example"))
    key, _ = signing
    form = {"csrf": person.token(), "key": key}
    person.open("/read/sign-in", "POST", {"Origin": "http://osteo.example"}, data=form)
    assert person.open("/read/push").json["public_key"] is None


@pytest.mark.parametrize(
    "wrong",
    [{"endpoint": "https://10.0.0.1/push"}, {"endpoint": ""}, {"p256dh": "AAAA"}, {"auth": "é"}],
    ids=str,
)
def test_what_is_no_subscription_of_a_browser_is_refused(person, signing, stored, fields, wrong):
    key, reader = signing
    person.sign_in(key)
    answer = send(person, "/read/push", fields | wrong)
    assert answer.status_code == 400
    assert fields["endpoint"] not in answer.text
    assert stored.of(reader.id) == []


def test_no_subscription_is_made_without_a_session_or_its_token(person, signing, stored, fields):
    key, reader = signing
    assert send(person, "/read/push", fields, "x").status_code == 401
    person.sign_in(key)
    assert send(person, "/read/push", fields, "x").status_code == 403
    assert stored.of(reader.id) == []
