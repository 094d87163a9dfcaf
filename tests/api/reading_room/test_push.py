"""A reader asks to be told in a browser, and ends it; another session's form and a private address do not."""

import pytest

from jobs.reading.push_subscriptions import PushSubscriptions
from jobs.reading.vapid import Vapid
from tests.api.reading_room.conftest import OWN
from tests.conftest import SIGNING_KEY
from tests.worker.conftest import receiver  # noqa: F401 - a fixture
from tests.worker.notices.conftest import Browser as Subscriber
from tests.worker.notices.conftest import a_reading, tell
from worker.notices.notify import NoticeContext


@pytest.fixture
def fields(receiver) -> dict[str, str]:  # noqa: F811
    made = Subscriber(receiver).subscription
    return {"endpoint": made.endpoint, "p256dh": made.p256dh, "auth": made.auth}


def send(person, path: str, fields: dict[str, str], token: str | None = None):
    token = person.token("/read/own") if token is None else token
    return person.open(path, "POST", {"Origin": OWN, "X-CSRF-Token": token}, data=fields)


def test_a_reader_subscribes_is_told_and_ends_it(person, signing, ledger, settings, receiver):  # noqa: F811
    key, reader = signing
    person.sign_in(key)
    assert person.open("/read/push").json == {"public_key": Vapid(SIGNING_KEY).public_key}
    browser = Subscriber(receiver)
    made = browser.subscription
    fields = {"endpoint": made.endpoint, "p256dh": made.p256dh, "auth": made.auth}
    assert send(person, "/read/push", fields).status_code == 204
    assert PushSubscriptions(ledger.records).of(reader.id) == [made]
    a_reading(ledger, groups=("msk",))
    tell(NoticeContext.of(settings, ledger))
    assert [message["title"] for message in browser.messages()] == ["A reading waits."]
    assert send(person, "/read/push/end", {"endpoint": made.endpoint}).status_code == 204
    assert PushSubscriptions(ledger.records).of(reader.id) == []


@pytest.mark.parametrize(
    "wrong",
    [{"endpoint": "https://10.0.0.1/push"}, {"endpoint": ""}, {"p256dh": "AAAA"}, {"auth": "é"}],
    ids=str,
)
def test_what_is_no_subscription_of_a_browser_is_refused(person, signing, ledger, fields, wrong):
    key, reader = signing
    person.sign_in(key)
    answer = send(person, "/read/push", fields | wrong)
    assert answer.status_code == 400
    assert fields["endpoint"] not in answer.text
    assert PushSubscriptions(ledger.records).of(reader.id) == []


def test_no_subscription_is_made_without_a_session_or_its_token(person, signing, ledger, fields):
    key, reader = signing
    assert send(person, "/read/push", fields, "x").status_code == 401
    person.sign_in(key)
    assert send(person, "/read/push", fields, "x").status_code == 403
    assert PushSubscriptions(ledger.records).of(reader.id) == []
