"""Tests that erased text leaves the append-only file of Redis, and that test events are erased."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from redis import Redis

from jobs.lifecycle.deletion import delete
from jobs.record.errors import NotStored
from jobs.record.job import now
from jobs.redis.append_only_file import PAUSE
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger
from jobs.store.probes import Probes
from tests.jobs.redis.lost_answers import lose_answers
from tests.worker.sweeper.test_purge import ended, later
from worker.sweeper.purge import purge, purge_until

OURS = {
    "reference": "ward 3, Miss Erased",
    "metadata": {"note": "metadata-to-be-erased"},
    "callback_url": "https://erased.example/hook",
}
TEXTS = ("Miss Erased", "metadata-to-be-erased", "erased.example/hook")


def until(condition: Callable[[], bool]) -> None:
    gives_up = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < gives_up
        time.sleep(0.02)


def in_file(redis: Redis) -> set[str]:
    """Return which of the texts are in any file of Redis."""
    files = [file for file in Path(redis.config_get("dir")["dir"]).rglob("*") if file.is_file()]
    stored = []
    for file in files:
        try:
            stored.append(file.read_bytes())
        except FileNotFoundError:  # A rewrite has replaced it.
            continue
    return {text for text in TEXTS if any(text.encode() in content for content in stored)}


def rewrites(redis: Redis) -> int:
    """Return how many rewrites there were, once none is running."""

    def at_rest() -> bool:
        state = redis.info("persistence")
        return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]

    until(at_rest)
    return redis.info("persistence")["aof_rewrites"]


def test_what_was_erased_leaves_the_append_only_file(ledger: Ledger, redis: Redis):
    job = ended(ledger, **OURS)
    until(lambda: in_file(redis) == set(TEXTS))
    before = rewrites(redis)
    ledger.append_only_file.rewrite(900)
    assert rewrites(redis) == before, "nothing was erased"
    delete(job.id, ledger)
    assert in_file(redis) == set(TEXTS)
    ledger.append_only_file.rewrite(900)
    assert rewrites(redis) == before + 1
    # Redis removes the old file in a thread of its own.
    until(lambda: in_file(redis) == set())


def test_the_file_is_rewritten_also_where_the_answer_to_the_pause_was_lost(
    ledger: Ledger, redis: Redis, monkeypatch
):
    before = rewrites(redis)
    delete(ended(ledger).id, ledger)
    lose_answers(monkeypatch, PAUSE, 1)
    ledger.append_only_file.rewrite(900)
    assert rewrites(redis) == before + 1


def test_the_file_is_rewritten_once_in_a_while_and_not_for_each_erasure(ledger: Ledger, redis: Redis):
    before = rewrites(redis)
    for _ in range(3):
        delete(ended(ledger).id, ledger)
        ledger.append_only_file.rewrite(900)
    assert rewrites(redis) == before + 1
    redis.delete(PAUSE)
    for _ in range(2):
        ledger.append_only_file.rewrite(900)
        redis.delete(PAUSE)
        assert rewrites(redis) == before + 2, "for the two that came later, and not again"


def test_the_purger_orders_the_rewrite_though_clocks_disagree(
    ledger: Ledger, queue: JobQueue, redis: Redis, monkeypatch
):
    monkeypatch.setattr("worker.sweeper.purge.PAUSE", 0.01)
    monkeypatch.setattr(ledger.objects, "date", lambda: now() + timedelta(days=1))
    before, stop = rewrites(redis), Event()
    delete(ended(ledger).id, ledger)
    purger = Thread(target=purge_until, args=[stop, ledger, queue, 900])
    purger.start()
    try:
        until(lambda: rewrites(redis) == before + 1)
    finally:
        stop.set()
        purger.join()


def test_a_rewrite_that_failed_is_repeated(ledger: Ledger, redis: Redis):
    before = rewrites(redis)
    delete(ended(ledger).id, ledger)
    server = redis.info("server")["process_id"]
    children = Path(f"/proc/{server}/task/{server}/children")
    # Microseconds for each key: the rewrite is still running when it is ended.
    redis.config_set("rdb-key-save-delay", 5_000_000)
    try:
        ledger.append_only_file.rewrite(900)
        until(lambda: bool(children.read_text()))
        os.kill(int(children.read_text()), signal.SIGKILL)
    finally:
        redis.config_set("rdb-key-save-delay", 0)
    rewrites(redis)
    assert redis.info("persistence")["aof_last_bgrewrite_status"] == "err"
    redis.delete(PAUSE)
    ledger.append_only_file.rewrite(900)
    rewrites(redis)
    assert redis.info("persistence")["aof_last_bgrewrite_status"] == "ok"
    assert rewrites(redis) >= before + 2


def test_a_test_event_is_erased_when_its_time_is_over(
    ledger: Ledger, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
):
    probes = Probes(ledger.records, seconds=3600)
    over = probes.create("clinic", OURS["callback_url"])
    kept = Probes(ledger.records, seconds=86_400).create("clinic", OURS["callback_url"])
    purge(ledger, queue)
    assert probes.read("clinic", over)["id"] == over
    later(monkeypatch, timedelta(hours=2))
    purge(ledger, queue)
    with pytest.raises(NotStored):
        probes.read("clinic", over)
    assert probes.read("clinic", kept)["id"] == kept
    probes.delivered("clinic", over, {"status": 200})
    assert not list(ledger.objects.keys(f"clients/clinic/probes/{over}/")), "what comes late writes nothing"
