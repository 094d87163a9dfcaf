from datetime import timedelta

import pytest

from jobs.lifecycle.deletion import delete
from jobs.record.job import Job, now
from jobs.redis.delivery_queues import CLIENT_SLOTS, MESSAGE_SECONDS, PROBES, RECEIVER_SLOTS, new_token
from jobs.redis.queue import DELIVER
from jobs.redis.receiver_circuit_breaker import FAILURES
from jobs.store.ledger import Ledger
from tests.conftest import a_job
from tests.jobs.redis.trusted import remembers_all

URL, OTHER = "https://clinic.example/hook", "https://other.example/hook"
ORIGIN = "https://clinic.example:443"
WORKER = "delivery:host:1:abcd"


@pytest.fixture
def deliveries(ledger):
    ledger.view.heartbeats.beat(WORKER)
    return ledger.view.delivery_queues


def owed(ledger: Ledger, url: str = URL, client: str = "clinic", due=None) -> Job:
    """Return a job that has ended and owes a callback."""
    job = a_job(client, url)
    ended = job.started("w", now()).succeeded({"finding": "fracture"}, due or now())
    ledger.view.put(ended)
    return ended


def next_of(deliveries, client: str) -> list[str]:
    """Return the ids of what gets a call slot now."""
    return [message.item for message in deliveries.next(client, DELIVER)]


def made(deliveries, item: str) -> None:
    """Make one call, from the beginning of its call slot to the end."""
    slot = deliveries.begin(item, new_token(WORKER), 30)
    deliveries.leave(slot)
    deliveries.end(slot)


def test_a_client_with_many_receivers_has_a_few_calls_at_once(ledger, deliveries):
    flood = [owed(ledger, f"https://{number}.example/", "flood") for number in range(CLIENT_SLOTS * 2)]
    for _ in range(3):
        deliveries.join("flood", "probe_1")
    first = next_of(deliveries, "flood")
    assert len(first) == CLIENT_SLOTS
    assert set(first) <= {job.id for job in flood}
    assert next_of(deliveries, "flood") == []
    other = owed(ledger)
    assert next_of(deliveries, "clinic") == [other.id]
    made(deliveries, first[0])
    assert len(next_of(deliveries, "flood")) == 1


def test_test_events_of_a_client_are_sent_one_at_a_time(ledger, deliveries):
    for number in range(3):
        deliveries.join("clinic", f"probe_{number}")
    job = owed(ledger)
    assert set(next_of(deliveries, "clinic")) == {"probe_0", job.id}, "no order within a millisecond"
    made(deliveries, "probe_0")
    assert next_of(deliveries, "clinic") == ["probe_1"]


def test_one_slow_receiver_leaves_room_for_the_clients_others(ledger, deliveries):
    slow = [owed(ledger) for _ in range(20)]
    assert next_of(deliveries, "clinic") == [job.id for job in slow[:RECEIVER_SLOTS]]
    other = owed(ledger, OTHER)
    assert next_of(deliveries, "clinic") == [other.id]


def test_receivers_of_a_client_get_call_slots_in_turn(ledger, deliveries):
    first = [owed(ledger) for _ in range(CLIENT_SLOTS)]
    second = [owed(ledger, OTHER) for _ in range(CLIENT_SLOTS)]
    half = CLIENT_SLOTS // 2
    assert set(next_of(deliveries, "clinic")) == {job.id for job in (*first[:half], *second[:half])}


def test_no_client_pauses_another_clients_receiver(ledger, deliveries):
    for _ in range(FAILURES + 3):
        ledger.view.circuit_breaker.count("flood", ORIGIN, answered=False)
    owed(ledger, client="flood")
    job = owed(ledger)
    assert next_of(deliveries, "flood") == []
    assert next_of(deliveries, "clinic") == [job.id]
    assert ledger.view.circuit_breaker.paused() == {("flood", ORIGIN)}


def test_another_port_of_a_paused_host_is_called(ledger, deliveries):
    for _ in range(FAILURES):
        ledger.view.circuit_breaker.count("clinic", ORIGIN, answered=False)
    owed(ledger)
    other_port = owed(ledger, "https://clinic.example:8443/hook")
    assert next_of(deliveries, "clinic") == [other_port.id]


def test_a_receiver_is_tried_by_one_call_after_a_pause(ledger, deliveries, redis):
    for _ in range(FAILURES):
        ledger.view.circuit_breaker.count("clinic", ORIGIN, answered=False)
    jobs = [owed(ledger) for _ in range(RECEIVER_SLOTS + 1)]
    assert next_of(deliveries, "clinic") == []
    pause_ends(redis)
    assert next_of(deliveries, "clinic") == [jobs[0].id]
    ledger.view.circuit_breaker.count("clinic", ORIGIN, answered=True)
    assert len(next_of(deliveries, "clinic")) == RECEIVER_SLOTS - 1


def pause_ends(redis) -> None:
    """End the pause of the one receiver that is paused, or is looked at later."""
    redis.delete("paused")
    redis.zadd("receivers:clinic", {ORIGIN: 0})


def test_a_call_slot_is_not_begun_while_its_receiver_is_paused(ledger, deliveries):
    job = owed(ledger)
    assert next_of(deliveries, "clinic") == [job.id]
    for _ in range(FAILURES):
        ledger.view.circuit_breaker.count("clinic", ORIGIN, answered=False)
    assert deliveries.begin(job.id, new_token(WORKER), 30) is None


def test_a_call_slot_is_given_again_when_its_message_is_lost(ledger, deliveries, redis):
    job = owed(ledger)
    assert next_of(deliveries, "clinic") == [job.id]
    assert next_of(deliveries, "clinic") == [], "its message may be on its way"
    redis.hincrbyfloat(f"turn:{job.id}", "given", -MESSAGE_SECONDS - 1)
    redis.rpush(DELIVER, "another message")
    assert next_of(deliveries, "clinic") == [], "its message may wait"
    redis.delete(DELIVER)
    assert next_of(deliveries, "clinic") == [job.id]


def test_a_message_is_lost_once_a_later_one_was_taken_from_a_busy_queue(ledger, deliveries, redis):
    redis.rpush(DELIVER, "another message")
    lost, later = owed(ledger), owed(ledger, client="other")
    assert next_of(deliveries, "clinic") == [lost.id]
    redis.hincrbyfloat(f"turn:{lost.id}", "given", -MESSAGE_SECONDS - 1)
    assert next_of(deliveries, "other") == [later.id]
    assert next_of(deliveries, "clinic") == [], "no later message was taken"
    assert deliveries.begin(later.id, new_token(WORKER), 30)
    assert next_of(deliveries, "clinic") == [lost.id]
    redis.hincrbyfloat(f"turn:{lost.id}", "given", -MESSAGE_SECONDS - 1)
    redis.incrbyfloat("taken:deliver", 3600)
    assert next_of(deliveries, "clinic") == [], "a mark in the future was set before the clock was set back"
    newest = owed(ledger, client="third")
    assert next_of(deliveries, "third") == [newest.id]
    assert deliveries.begin(newest.id, new_token(WORKER), 30)
    assert next_of(deliveries, "clinic") == [lost.id], "the next message that is taken replaces the mark"


def test_a_call_of_a_process_that_has_died_is_made_again(ledger, deliveries):
    job = owed(ledger)
    next_of(deliveries, "clinic")
    assert deliveries.begin(job.id, new_token(WORKER), 30)
    assert next_of(deliveries, "clinic") == []
    ledger.view.heartbeats.forget(WORKER)
    assert next_of(deliveries, "clinic") == [job.id]


def test_a_call_slot_that_changed_nothing_is_not_repeated_at_once(ledger, deliveries):
    job = owed(ledger)
    next_of(deliveries, "clinic")
    deliveries.end(deliveries.begin(job.id, new_token(WORKER), 30))
    assert next_of(deliveries, "clinic") == []


def test_a_callback_waits_until_it_is_due_and_then_its_client_is_removed(ledger, deliveries, redis):
    job = owed(ledger, due=now().replace(year=now().year + 1))
    assert deliveries.clients() == []
    assert next_of(deliveries, "clinic") == []
    assert redis.zscore("callbacks", "clinic") == pytest.approx(job.next_delivery_at.timestamp(), abs=1)
    ledger.view.put(job.delivery_begun(now()))
    assert next_of(deliveries, "clinic") == [job.id]
    ledger.view.put(job.delivery_begun(now()).delivered())
    slot = deliveries.begin(job.id, new_token(WORKER), 30)
    deliveries.end(slot)
    assert next_of(deliveries, "clinic") == []
    assert redis.zcard("callbacks") == 0


def test_a_job_that_is_deleted_owes_no_callback(ledger, deliveries, redis):
    job = a_job(callback_url=URL)
    ledger.accept(job, b"image")
    ledger.append(ledger.append(job.started("w", now())).succeeded({"finding": "fracture"}, now()))
    delete(job.id, ledger)
    assert next_of(deliveries, "clinic") == []
    assert not [key for key in redis.scan_iter() if b"clinic.example" in key]


def test_each_delivery_queue_is_listed_with_its_callbacks(ledger, deliveries):
    first = owed(ledger, due=now() - timedelta(hours=1))
    owed(ledger)
    owed(ledger, OTHER, "other")
    deliveries.join("other", "probe_1")
    listed = deliveries.by_receiver()
    assert {(queue.client, queue.origin, queue.count) for queue in listed} == {
        *(("clinic", ORIGIN, 2), ("other", "https://other.example:443", 1), ("other", PROBES, 1)),
    }
    assert (listed[0].origin, listed[0].due) == (ORIGIN, first.next_delivery_at.timestamp())


def test_the_token_that_holds_a_slot_gets_it_again_and_no_other_does(ledger, deliveries, redis):
    remembers_all(redis)
    job, token = owed(ledger), new_token(WORKER)
    assert next_of(deliveries, "clinic") == [job.id]
    for _ in range(2):
        assert deliveries.begin(job.id, token, 30).latest == job.version, "no call was lost"
    assert deliveries.begin(job.id, new_token(WORKER), 30) is None
