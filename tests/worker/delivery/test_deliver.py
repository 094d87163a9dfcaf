import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest
from standardwebhooks import Webhook

from jobs.callbacks.signing import signed, webhook_secret
from jobs.callbacks.url import origin_of
from jobs.lifecycle.deletion import delete
from jobs.lifecycle.manual_retry import redeliver
from jobs.record.errors import QueueUnavailable, StoreUnavailable
from jobs.record.job import Job, now
from jobs.record.states import Delivery, State
from jobs.redis.delivery_queues import RECEIVER_SLOTS, delivery_queue_key, new_token, receivers_key
from jobs.redis.receiver_circuit_breaker import FAILURES
from jobs.store.ledger import Ledger
from jobs.store.receivers import PATIENCE, Receivers
from jobs.store.webhook_settings import OVERLAP
from jobs.trace import continue_trace, name_trace, trace_id
from tests.conftest import SIGNING_KEY, a_job, only_a_tombstone_is_left
from tests.jobs.redis.trusted import remembers_all
from tests.worker.conftest import deliver
from worker.delivery import deliver as module
from worker.delivery.call import CallResult
from worker.delivery.deliver import deliver as deliver_with_slot
from worker.delivery.deliver import with_call_slot
from worker.delivery.metrics import REGISTRY
from worker.delivery.retry_schedule import SCHEDULE

RESULT = {"finding": "fracture", "probability": 0.9}
DYING = "delivery:elsewhere:1:abcd"


def ended_job(ledger: Ledger, url: str, **changes):
    job = a_job(callback_url=url, reference="R 1", **changes)
    ledger.accept(job, b"image")
    return ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))


def test_a_callback_is_signed_by_standard_webhooks_and_settles_the_job(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    ((headers, body),) = receiver.received
    event = Webhook(webhook_secret(SIGNING_KEY, "clinic")).verify(body, headers)
    assert event["type"] == "job.succeeded"
    assert (event["data"]["id"], event["data"]["reference"]) == (job.id, "R 1")
    assert ledger.read(job.id).delivery is Delivery.DELIVERED
    assert list(ledger.pending()) == []


@pytest.mark.parametrize(("status", "outcome"), [(204, "accepted"), (500, "refused"), (None, "unanswered")])
def test_a_call_is_measured_by_its_outcome(ledger, context, receiver, status, outcome):
    def calls() -> dict[str, float]:
        names = ("accepted", "refused", "unanswered")
        name = "osteo_delivery_seconds_count"
        return {known: REGISTRY.get_sample_value(name, {"outcome": known}) or 0.0 for known in names}

    before = calls()
    receiver.status = status
    job = ended_job(ledger, receiver.url if status else "http://127.0.0.1:1/hook")
    deliver(job.id, context)
    assert calls() == before | {outcome: before[outcome] + 1}


def test_a_job_deleted_during_its_callback_stays_deleted(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    receiver.meanwhile = lambda: delete(job.id, ledger)
    deliver(job.id, context)
    assert len(receiver.received) == 1
    assert only_a_tombstone_is_left(job.id, ledger)
    deliver(job.id, context)
    assert len(receiver.received) == 1


def test_a_callback_and_the_log_carry_the_trace_of_the_submission(ledger, context, receiver, caplog):
    caplog.set_level("INFO")
    caplog.handler.addFilter(name_trace)
    job = ended_job(ledger, receiver.url, traceparent=continue_trace(None))
    try:
        deliver(job.id, context)
    finally:
        caplog.handler.removeFilter(name_trace)
    carried = receiver.received[0][0]["traceparent"]
    assert trace_id(carried) == trace_id(job.traceparent)
    assert carried != job.traceparent, "a span of its own"
    (line,) = [record for record in caplog.records if record.message == "callback: 200"]
    assert line.trace == trace_id(job.traceparent)


def test_another_clients_secret_does_not_verify_it(ledger, context, receiver):
    deliver(ended_job(ledger, receiver.url).id, context)
    ((headers, body),) = receiver.received
    with pytest.raises(Exception, match="signature"):
        Webhook(webhook_secret(SIGNING_KEY, "another")).verify(body, headers)


def test_a_callback_that_is_replayed_later_does_not_verify(ledger, context):
    event = {"type": "job.succeeded", "data": {}}
    secret = webhook_secret(SIGNING_KEY, "clinic")
    for age, verifies_still in ((timedelta(minutes=4), True), (timedelta(minutes=6), False)):
        body, headers = signed("msg_1", event, [secret], now() - age)
        assert verifies(secret, headers, body) is verifies_still
        later = headers | {"webhook-timestamp": str(int(now().timestamp()))}
        assert not verifies(secret, later, body), "the time is signed, too"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refused_callback_is_due_again_with_the_same_id(ledger, context, receiver, status):
    job = ended_job(ledger, receiver.url)
    receiver.status, receiver.headers = status, {"Location": "/elsewhere"}
    deliver(job.id, context)
    postponed = ledger.read(job.id)
    assert (postponed.delivery, postponed.delivery_attempts) == (Delivery.PENDING, 1)
    pause = postponed.next_delivery_at - now()
    assert SCHEDULE[0] * 0.5 < pause < SCHEDULE[0] * 1.3
    receiver.status = 200
    deliver(job.id, context)
    assert len(receiver.received) == 1, "it was called before it was due"
    ledger.append(replace(postponed, version=postponed.version + 1, next_delivery_at=now(), call=None))
    deliver(job.id, context)
    first, second = receiver.received
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert ledger.read(job.id).delivery is Delivery.DELIVERED


def test_a_receiver_that_is_gone_is_not_called_again(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    receiver.status = 410
    deliver(job.id, context)
    assert ledger.read(job.id).delivery is Delivery.DISABLED
    assert list(ledger.pending()) == []


def test_a_delivery_fails_after_the_last_attempt_of_the_schedule(ledger, context, redis):
    job = ended_job(ledger, "http://127.0.0.1:1/closed")
    for attempt in range(len(SCHEDULE) + 1):
        redis.delete("paused")
        deliver(job.id, context)
        job = ledger.read(job.id)
        assert job.delivery_attempts == attempt + 1
        if job.delivery is Delivery.PENDING:
            job = ledger.append(replace(job, version=job.version + 1, next_delivery_at=now(), call=None))
    assert job.delivery is Delivery.FAILED


def test_a_private_address_is_never_called_in_production(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, replace(context, exceptions=frozenset()))
    assert receiver.received == []
    assert ledger.read(job.id).delivery is Delivery.PENDING


def test_eight_messages_for_one_job_make_one_call(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: deliver(job.id, context), range(8)))
    assert len(receiver.received) == 1


def test_a_callback_has_neither_its_own_url_nor_the_client(ledger, context, receiver):
    deliver(ended_job(ledger, receiver.url).id, context)
    event = json.loads(receiver.received[0][1])
    assert "callback_url" not in event["data"]
    assert "client" not in event["data"]


def test_a_receiver_that_trickles_its_answer_is_cut_off(ledger, context):
    with socket.create_server(("127.0.0.1", 0)) as server:
        job = ended_job(ledger, f"http://127.0.0.1:{server.getsockname()[1]}/")
        Thread(target=trickle, args=[server], daemon=True).start()
        deliver(job.id, replace(context, seconds=0.5))
    after = ledger.read(job.id)
    assert (after.delivery, after.delivery_attempts) == (Delivery.PENDING, 1)


def test_early_hints_are_not_an_answer(ledger, context):
    with socket.create_server(("127.0.0.1", 0)) as server:
        job = ended_job(ledger, f"http://127.0.0.1:{server.getsockname()[1]}/")
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
        answer = hints + b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
        Thread(target=say, args=[server, answer], daemon=True).start()
        deliver(job.id, context)
    after = ledger.read(job.id)
    assert (after.delivery, after.call["status"], after.call["answer"]) == (Delivery.DELIVERED, 200, "done")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff",
        b"HTTP/9.9 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        b"HTTP/1.1 200",
    ],
)
def test_every_answer_of_a_receiver_is_recorded(ledger, context, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        job = ended_job(ledger, f"http://127.0.0.1:{server.getsockname()[1]}/")
        Thread(target=say, args=[server, answer], daemon=True).start()
        deliver(job.id, context)
    (entry,) = ledger.deliveries(job)
    assert entry["error"] or entry["status"]


def say(server: socket.socket, answer: bytes) -> None:
    """Read a request and answer it with these bytes."""
    connection, _ = server.accept()
    with connection:
        read = b""
        while b'"}}' not in read:
            read += connection.recv(65_536)
        connection.sendall(answer)


@pytest.mark.parametrize("url", ["/k\u00f6ln", "/?ort=k\u00f6ln", "/\udc80"])
def test_a_url_that_was_stored_unencoded_is_called_or_its_outcome_recorded(
    ledger, context, receiver, caplog, url
):
    caplog.set_level("DEBUG")
    job = ended_job(ledger, receiver.url.partition("/hook")[0] + url)
    deliver(job.id, context)
    (entry,) = ledger.deliveries(job)
    assert (entry["status"] == 200) is (len(receiver.received) == 1) is ("\udc80" not in url)
    assert url not in caplog.text


def test_an_error_of_our_own_in_a_call_is_recorded_without_the_url(
    ledger, context, receiver, monkeypatch, caplog
):
    def broken(*_: object, **__: object) -> None:
        raise ValueError(receiver.url)

    monkeypatch.setattr("http.client.HTTPConnection.request", broken)
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    (entry,) = ledger.deliveries(job)
    assert entry["error"] == "no answer: ValueError"
    assert receiver.url not in caplog.text


@pytest.mark.parametrize("uncounted", [0, 1])
def test_a_callback_whose_outcomes_are_all_lost_ends_failed(
    ledger, context, receiver, redis, monkeypatch, uncounted
):
    if uncounted:
        remembers_all(redis)

    def broken(*_: object) -> None:
        raise RuntimeError("the worker is lost")

    job = ended_job(ledger, receiver.url)
    with monkeypatch.context() as patched:
        patched.setattr("worker.delivery.deliver._call", broken)
        for _ in range(uncounted + len(SCHEDULE) + 1):
            with pytest.raises(RuntimeError):
                deliver(job.id, context)
            due(ledger, job)
    deliver(job.id, context)
    after = ledger.read(job.id)
    assert (after.delivery, after.call["error"]) == (Delivery.FAILED, "the outcome was lost with the worker")
    assert receiver.received == []


def test_a_look_up_that_does_not_end_is_abandoned_and_recorded(ledger, context, monkeypatch):
    answered, lookup = Event(), socket.getaddrinfo

    def silent(host, *rest, **more):
        if host == "clinic.example" and more.get("flags") != socket.AI_NUMERICHOST:
            answered.wait(60)
        return lookup(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    job = ended_job(ledger, "https://clinic.example/")
    try:
        deliver(job.id, replace(context, seconds=0.2))
        (entry,) = ledger.deliveries(job)
    finally:
        answered.set()
    assert entry["error"] == "no answer: TimeoutError"


def test_a_slow_look_up_leaves_less_time_for_the_call(ledger, context, monkeypatch):
    limits, lookup, connect = [], socket.getaddrinfo, socket.create_connection

    def slow(*arguments, **more):
        time.sleep(0.5)
        return lookup(*arguments, **more)

    def recorded(address, limit):
        limits.append(limit)
        return connect(address, limit)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(socket, "create_connection", recorded)
    job = ended_job(ledger, "http://127.0.0.1:1/")
    deliver(job.id, replace(context, seconds=3.0))
    assert all(limit < 2.5 for limit in limits)


def trickle(server: socket.socket) -> None:
    """Send `100 Continue` while the other side reads: each one restarts a plain timeout."""
    connection, _ = server.accept()
    with connection, suppress(OSError):
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.05)


def seen_during_calls(job, ledger, monkeypatch) -> list:
    """Let each call fail from now on, and return what will be recorded of the job while it is made."""
    seen = []

    def look(*_: object) -> CallResult:
        seen.append(ledger.read(job.id))
        return CallResult(0.0, error="not called")

    monkeypatch.setattr("worker.delivery.deliver._call", look)
    return seen


def test_an_attempt_is_recorded_once_with_its_outcome(ledger, context, redis, monkeypatch):
    remembers_all(redis)
    job = ended_job(ledger, "http://127.0.0.1:1/closed")
    seen = seen_during_calls(job, ledger, monkeypatch)
    for attempt in (1, 2):
        before = ledger.read(job.id)
        deliver(job.id, context)
        after = ledger.read(job.id)
        assert (seen[-1], after.version) == (before, before.version + 1)
        assert (after.delivery, after.delivery_attempts) == (Delivery.PENDING, attempt)
        assert after.next_delivery_at > now()
        due(ledger, job)


def test_an_attempt_is_recorded_before_its_call_while_redis_may_not_know(ledger, context, monkeypatch):
    job = ended_job(ledger, "http://127.0.0.1:1/closed")
    seen = seen_during_calls(job, ledger, monkeypatch)
    deliver(job.id, context)
    assert [(during.delivery, during.delivery_attempts) for during in seen] == [(Delivery.PENDING, 1)]
    assert seen[0].next_delivery_at > now()


@pytest.mark.parametrize("found_by", ["the next call slots", "a second message"])
def test_an_attempt_after_a_lost_one_is_recorded_before_its_call(
    ledger, context, redis, monkeypatch, found_by
):
    remembers_all(redis)
    job = ended_job(ledger, "http://127.0.0.1:1/closed")
    context.queue.feed_deliveries("clinic")
    ledger.view.heartbeats.beat(DYING)
    assert context.delivery_queues.begin(job.id, new_token(DYING), 30).latest == job.version
    ledger.view.heartbeats.forget(DYING)
    seen = seen_during_calls(job, ledger, monkeypatch)
    if found_by == "the next call slots":
        deliver(job.id, context)
    else:
        with_call_slot(deliver_with_slot, context, job.id)
    assert [(during.delivery, during.delivery_attempts) for during in seen] == [(Delivery.PENDING, 1)]
    due(ledger, job)
    deliver(job.id, context)
    assert seen[1].delivery_attempts == 1, "the outcome of the one before was recorded"


def test_a_call_slot_whose_answer_was_lost_is_used_once_redis_answers(ledger, context, receiver, monkeypatch):
    job, queues = ended_job(ledger, receiver.url), ledger.view.delivery_queues
    begin, attempts = queues.begin, []

    def begin_without_an_answer(*slot: object) -> object:
        begun = begin(*slot)
        attempts.append(slot)
        return begun if len(attempts) > 1 else away()

    monkeypatch.setattr(module, "PAUSES", (0.0,))
    monkeypatch.setattr(queues, "begin", begin_without_an_answer)
    deliver(job.id, context)
    assert len(receiver.received) == 1
    assert ledger.read(job.id).delivery is Delivery.DELIVERED


@pytest.mark.parametrize("stopping", [False, True])
def test_a_call_slot_is_given_back_once_redis_answers_again(ledger, context, receiver, monkeypatch, stopping):
    job, queues = ended_job(ledger, receiver.url), ledger.view.delivery_queues
    end, attempts = queues.end, []

    def end_in_the_end(*slot: object) -> None:
        attempts.append(slot)
        if stopping:
            context.stopping.set()
        if len(attempts) <= 3:
            away()
        end(*slot)

    monkeypatch.setattr(module, "PAUSES", (0.0,))
    monkeypatch.setattr(queues, "end", end_in_the_end)
    with pytest.raises(QueueUnavailable) if stopping else nullcontext():
        deliver(job.id, context)
    assert len(receiver.received) == 1
    assert (queues.holder(job.id) is None) is not stopping


@pytest.mark.parametrize("status", [200, 500])
def test_the_outcome_of_a_call_is_recorded_though_nothing_else_can_be(
    ledger, context, receiver, redis, monkeypatch, status
):
    def not_changed(*_: object, **__: object) -> None:
        raise StoreUnavailable("another writer has the lock")

    remembers_all(redis)
    job, append, attempts = ended_job(ledger, receiver.url), ledger.append, []

    def append_in_the_end(after: Job, *rest: object) -> Job:
        attempts.append(after)
        return append(after, *rest) if len(attempts) > 2 else away()

    receiver.status = status
    monkeypatch.setattr(module, "PAUSES", (0.0,))
    monkeypatch.setattr(ledger, "append", append_in_the_end)
    monkeypatch.setattr(ledger.view.circuit_breaker, "count", away)
    monkeypatch.setattr(context.receivers, "answered", not_changed)
    monkeypatch.setattr(context.receivers, "failed", not_changed)
    deliver(job.id, context)
    assert len(receiver.received) == 1
    assert ledger.read(job.id).delivery is (Delivery.DELIVERED if status == 200 else Delivery.PENDING)
    assert ledger.read(job.id).delivery_attempts == 1
    assert attempts[0] == attempts[-1], "its writer gets the lock again"


def test_a_receiver_is_called_once_while_no_outcome_can_be_stored(
    ledger, context, receiver, redis, monkeypatch
):
    remembers_all(redis)
    job = ended_job(ledger, receiver.url)
    monkeypatch.setattr(ledger.objects, "put_new", unavailable)
    for _ in range(3):
        with suppress(StoreUnavailable):
            deliver(job.id, context)
        redis.zadd(delivery_queue_key("clinic", origin_of(receiver.url)), {job.id: 0})
        redis.zadd(receivers_key("clinic"), {origin_of(receiver.url): 0})
    assert len(receiver.received) == 1


def test_a_job_deleted_where_the_view_missed_it_is_not_called_back(
    ledger, context, receiver, redis, monkeypatch
):
    remembers_all(redis)
    job = ended_job(ledger, receiver.url)
    with monkeypatch.context() as patched:
        patched.setattr(ledger.view, "put", away)
        with suppress(QueueUnavailable):
            delete(job.id, ledger)
    assert ledger.view.get_many([job.id]) == [job]
    deliver(job.id, context)
    assert receiver.received == []
    assert ledger.read(job.id).state is State.ERASED


def away(*_: object) -> None:
    raise QueueUnavailable("away")


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="THERE IS NO openssl: NO CALLBACK OVER TLS WAS TRIED"
)
@pytest.mark.parametrize(
    ("name", "delivery"), [("localhost", Delivery.DELIVERED), ("other", Delivery.PENDING)]
)
def test_a_callback_over_tls_checks_the_name_in_the_certificate(
    ledger, context, receiver, tmp_path, monkeypatch, name, delivery
):
    receiver.speak_tls(name, tmp_path, monkeypatch)
    job = ended_job(ledger, receiver.url)
    deliver(job.id, replace(context, exceptions=frozenset({"localhost"})))
    assert ledger.read(job.id).delivery is delivery
    assert len(receiver.received) == (delivery is Delivery.DELIVERED)
    if receiver.received:
        assert receiver.received[0][0]["host"] == receiver.url.split("/")[2]


def test_each_call_is_recorded_with_its_outcome(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    receiver.status = 500
    deliver(job.id, context)
    (entry,) = ledger.deliveries(job)
    assert (entry["attempt"], entry["status"], entry["answer"], entry["error"]) == (1, 500, "x" * 1024, None)
    assert entry["webhook_id"] == receiver.received[0][0]["webhook-id"]
    assert 0 <= entry["duration_ms"] < 5000
    due(ledger, job)
    receiver.close()
    deliver(job.id, context)
    second = ledger.deliveries(job)[1]
    assert (second["attempt"], second["status"], second["error"]) == (
        2,
        None,
        "no answer: ConnectionRefusedError",
    )


def due(ledger, job):
    """Make a postponed callback due now."""
    postponed = ledger.read(job.id)
    return ledger.append(replace(postponed, version=postponed.version + 1, next_delivery_at=now(), call=None))


def test_after_a_rotation_both_secrets_verify_for_a_day(ledger, context, receiver):
    context.webhooks.rotate("clinic", now())
    deliver(ended_job(ledger, receiver.url).id, context)
    context.webhooks.rotate("clinic", now() - OVERLAP)
    deliver(ended_job(ledger, receiver.url).id, context)
    secrets = [webhook_secret(SIGNING_KEY, "clinic", generation) for generation in range(3)]
    verified = [[verifies(secret, *received) for secret in secrets] for received in receiver.received]
    assert verified == [[True, True, False], [False, False, True]]


def verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except Exception:
        return False
    return True


def test_an_event_that_the_client_does_not_want_is_not_sent(ledger, context, receiver):
    context.webhooks.choose("clinic", ["job.failed"])
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    assert receiver.received == []
    assert ledger.read(job.id).delivery is Delivery.NONE
    assert list(ledger.pending()) == []


@pytest.mark.parametrize(("asked", "seconds"), [("120", 120), ("86400", 3600), ("soon", 5)])
def test_a_receiver_may_ask_for_up_to_an_hour(ledger, context, receiver, asked, seconds):
    job = ended_job(ledger, receiver.url)
    receiver.status, receiver.headers = 503, {"Retry-After": asked}
    deliver(job.id, context)
    pause = (ledger.read(job.id).next_delivery_at - now()).total_seconds()
    assert seconds * 0.7 < pause < seconds * 1.3


def test_a_receiver_that_fails_for_five_days_is_disabled_until_it_answers(ledger, context, receiver):
    receiver.status = 500
    first, second = (ended_job(ledger, receiver.url) for _ in range(2))
    deliver(first.id, context)
    (failing,) = context.receivers.failing("clinic")
    assert (failing.disabled_at, receiver.url.startswith(failing.origin)) == (None, True)
    context.receivers.failed(failing, now() + PATIENCE, gone=False)
    due(ledger, first)
    deliver(first.id, context)
    assert ledger.read(first.id).delivery is Delivery.DISABLED
    deliver(second.id, context)
    assert len(receiver.received) == 1, "it was called though it is disabled"
    assert ledger.read(second.id).delivery is Delivery.DISABLED
    context.receivers.answered(next(context.receivers.failing("clinic")))
    receiver.status = 200
    redeliver(ledger.read(second.id), ledger)
    deliver(second.id, context)
    assert ledger.read(second.id).delivery is Delivery.DELIVERED
    assert list(context.receivers.failing("clinic")) == []


def test_failures_that_lie_far_apart_disable_no_receiver(ledger, context, redis):
    receivers, origin = context.receivers, "https://clinic.example:443"
    at = now() - PATIENCE - timedelta(days=1)
    receivers.failed(receivers.of("clinic", origin), at, gone=False)
    assert 1.2 * SCHEDULE[-1].total_seconds() + 3600 < redis.ttl(f"failed:clinic {origin}")
    redis.delete(f"failed:clinic {origin}")  # Its time is over.
    after = receivers.failed(receivers.of("clinic", origin), now(), gone=False)
    assert after.disabled_at is None
    assert after.failing_since > now() - timedelta(days=1)
    assert receivers.failed(after, after.failing_since + PATIENCE, gone=False).disabled_at


def test_a_success_that_another_worker_recorded_begins_the_five_days_anew(ledger, context):
    origin, another = "https://clinic.example:443", Receivers(ledger.records, 3600)
    well = another.of("clinic", origin)  # Remembered, while this worker records a failure.
    at = now() - PATIENCE
    context.receivers.failed(well, at, gone=False)
    another.answered(another.of("clinic", origin))
    failing = context.receivers.failed(context.receivers.of("clinic", origin), now(), gone=False)
    assert failing.disabled_at is None
    assert failing.failing_since > at


def test_one_that_is_gone_stays_disabled_whatever_redis_remembers(ledger, context, redis):
    receivers, origin = context.receivers, "https://clinic.example:443"
    gone = receivers.failed(receivers.of("clinic", origin), now() - PATIENCE, gone=True)
    redis.flushall()
    assert receivers.failed(gone, now(), gone=False).disabled_at == gone.disabled_at


def test_a_redelivery_has_the_same_id(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    again = redeliver(ledger.read(job.id), ledger)
    assert (again.delivery, list(ledger.pending())) == (Delivery.PENDING, [job.id])
    deliver(job.id, context)
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1
    assert len(ledger.deliveries(job)) == len(receiver.received) == 2


def test_a_receiver_that_does_not_answer_is_paused(ledger, context, receiver):
    receiver.status = 500
    jobs = [ended_job(ledger, receiver.url) for _ in range(FAILURES + 3)]
    for job in jobs:
        deliver(job.id, context)
    assert len(receiver.received) == FAILURES
    assert context.circuit_breaker.paused() == {("clinic", origin_of(receiver.url))}
    assert ledger.read(jobs[-1].id).delivery_attempts == 0, "it was not called, so this is no attempt"


def test_a_failure_of_our_store_is_no_failure_of_the_receiver(ledger, context, receiver, monkeypatch):
    jobs = [ended_job(ledger, receiver.url) for _ in range(FAILURES + 1)]
    with monkeypatch.context() as patched:
        patched.setattr(ledger.objects, "put_new", unavailable)
        for job in jobs:
            with pytest.raises(StoreUnavailable):
                deliver(job.id, context)
    assert context.circuit_breaker.paused() == set()
    assert receiver.received == []


def unavailable(*_: object) -> None:
    raise StoreUnavailable("away")


def test_a_call_slot_is_free_once_its_process_has_died(ledger, context, receiver):
    jobs = [ended_job(ledger, receiver.url) for _ in range(RECEIVER_SLOTS + 1)]
    context.queue.feed_deliveries("clinic")
    ledger.view.heartbeats.beat(DYING)
    held = [context.delivery_queues.begin(job.id, new_token(DYING), 30) for job in jobs]
    assert [slot is None for slot in held] == [False] * RECEIVER_SLOTS + [True]
    for job in jobs:
        deliver(job.id, context)
    assert receiver.received == []
    ledger.view.heartbeats.forget(DYING)
    for job in jobs:
        deliver(job.id, context)
    assert len(receiver.received) == len(jobs)


def test_a_name_is_looked_up_once_and_each_of_its_addresses_tried(ledger, context, receiver, monkeypatch):
    looked_up = []
    lookup = socket.getaddrinfo

    def named(host, port, *rest, **more):
        if host != "clinic.example" or more.get("flags") == socket.AI_NUMERICHOST:
            return lookup(host, port, *rest, **more)
        looked_up.append(host)
        addresses = ["127.0.0.2", "127.0.0.1"] if len(looked_up) == 1 else ["203.0.113.9"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", named)
    job = ended_job(ledger, receiver.url.replace("127.0.0.1", "clinic.example"))
    deliver(job.id, replace(context, exceptions=frozenset({"clinic.example"})))
    assert looked_up == ["clinic.example"]
    assert len(receiver.received) == 1
