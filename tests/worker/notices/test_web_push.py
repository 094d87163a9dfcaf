"""Sends Web Push to a receiver that decrypts it, and to endpoints that must not be reached."""

from dataclasses import replace

import pytest

from jobs.reading.readers import Readers
from jobs.record.job import now
from jobs.web_push.subscriptions import MOST, PushSubscriptions, push_subscription
from jobs.web_push.vapid import Vapid, contact_of
from tests.worker.notices.conftest import Browser, a_reader, a_reading, claims_of, tell

ORIGINS = (
    "https://127.0.0.1/push",
    "https://10.0.0.1/push",
    "https://[::1]/push",
    "https://169.254.169.254/x",
)


def test_a_browser_decrypts_what_it_is_sent_and_the_service_is_known(notices, ledger, receiver):
    browser, reader = Browser(receiver), a_reader(ledger, email=False)
    notices.subscriptions.add(reader, browser.subscription)
    reading = a_reading(ledger, priority="stat")
    tell(notices)
    assert browser.messages() == ["A reading waits."]
    ((headers, _),) = receiver.received
    claims, origin = claims_of(headers), receiver.url.rpartition("/")[0]
    assert (claims["aud"], claims["sub"]) == (origin, "mailto:osteo@osteo.example")
    assert 0 < claims["exp"] - now().timestamp() < 86_400
    assert (headers["content-encoding"], headers["urgency"]) == ("aes128gcm", "high")
    assert int(headers["ttl"]) > 0
    assert reading.id not in str(headers)


@pytest.mark.parametrize("endpoint", ORIGINS)
def test_a_private_address_is_refused_as_subscription_and_at_the_call(notices, ledger, receiver, endpoint):
    subscription = replace(Browser(receiver).subscription, endpoint=endpoint)
    with pytest.raises(ValueError, match="public address"):
        push_subscription(subscription.endpoint, subscription.p256dh, subscription.auth, frozenset())
    push = replace(notices.web_push, exceptions=frozenset())
    assert push.send(subscription, b"{}", False, "x", now()).status is None
    # By a name that leads there, too: the address is checked at the call.
    named = replace(subscription, endpoint="https://localhost/push")
    answer = push.send(named, b"{}", False, "x", now())
    assert (answer.status, receiver.received) == (None, [])
    assert "public address" in str(answer.error)


def test_a_push_service_is_not_followed_elsewhere(notices, receiver):
    receiver.status, receiver.headers = 307, {"Location": receiver.url}
    answer = notices.web_push.send(Browser(receiver).subscription, b"{}", False, "x", now())
    assert (answer.status, len(receiver.received)) == (307, 1)


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_has_ended_is_erased(notices, ledger, receiver, status):
    reader = a_reader(ledger, email=False)
    notices.subscriptions.add(reader, Browser(receiver).subscription)
    receiver.status = status
    a_reading(ledger)
    tell(notices)
    assert notices.subscriptions.of(reader) == []


def test_a_reader_has_five_subscriptions_and_one_of_an_endpoint(ledger, receiver):
    stored, first = PushSubscriptions(ledger.records), Browser(receiver).subscription
    endpoints = [f"{receiver.url}&{number}" for number in range(MOST + 1)]
    for endpoint in (*endpoints, endpoints[-1]):
        stored.add("reader", replace(first, endpoint=endpoint))
    assert [kept.endpoint for kept in stored.of("reader")] == endpoints[1:]
    for kept in stored.of("reader"):
        stored.remove("reader", kept.id)
    assert stored.of("reader") == []
    assert list(ledger.objects.keys("push-subscriptions/")) == []


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [("AAAA", None), ("é", None), (None, "AAAA"), (None, "ä"), ("B" + "A" * 86, None)],
)
def test_keys_that_are_none_of_a_browser_are_refused(receiver, p256dh, auth):
    good = Browser(receiver).subscription
    exceptions = frozenset({"127.0.0.1"})
    push_subscription(good.endpoint, good.p256dh, good.auth, exceptions)
    with pytest.raises(ValueError, match="not those of a browser"):
        push_subscription(good.endpoint, p256dh or good.p256dh, auth or good.auth, exceptions)


def test_what_a_browser_subscribes_to_replaces_what_it_had(ledger, receiver):
    stored, first = PushSubscriptions(ledger.records), Browser(receiver).subscription
    other, later = (replace(first, endpoint=f"{receiver.url}&{name}") for name in ("other", "later"))
    stored.add("reader", first)
    stored.add("reader", other)
    stored.add("reader", later, replaced=first.id)
    assert stored.of("reader") == [other, later]


@pytest.mark.parametrize("end", [Readers.disable, Readers.rotate])
def test_a_disabled_or_rotated_reader_has_no_subscription(notices, ledger, receiver, end):
    reader, other = (a_reader(ledger, name, email=False) for name in ("ada", "bob"))
    for one in (reader, other):
        notices.subscriptions.add(one, Browser(receiver).subscription)
    end(Readers(ledger.records), reader)
    assert notices.subscriptions.of(reader) == []
    assert len(notices.subscriptions.of(other)) == 1


@pytest.mark.parametrize(
    ("mail_from", "public_url", "contact"),
    [
        ("Osteo <osteo@osteo.example>", "http://localhost:8000", "mailto:osteo@osteo.example"),
        ("", "https://osteo.example", "https://osteo.example"),
        ("", "http://localhost:8000", None),
    ],
)
def test_push_services_are_told_an_address_that_they_take(mail_from, public_url, contact):
    assert contact_of(mail_from, public_url) == contact


def test_the_key_of_the_service_follows_from_the_signing_key():
    one, same, other = (Vapid(key * 32).public_key for key in "aab")
    assert one == same != other
