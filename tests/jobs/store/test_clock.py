"""Tests that a clock that has jumped erases nothing, and ends nothing before its time."""

from datetime import timedelta

import pytest

from jobs.record.job import LEFTOVER_GRACE, now
from jobs.record.states import State
from jobs.store.clock import ClocksDisagree
from tests.conftest import a_job
from tests.worker.conftest import after_a_while
from tests.worker.sweeper.test_purge import ended
from worker.sweeper.purge import purge
from worker.sweeper.sweep import Sweeper

JUMP = timedelta(days=400)


def jumped(monkeypatch, by: timedelta) -> None:
    """Make the clock of this process alone jump."""
    for module in ("jobs.store.clock", "worker.inference.analyse", "jobs.lifecycle.deletion"):
        monkeypatch.setattr(f"{module}.now", lambda: now() + by)


@pytest.mark.parametrize("by", [JUMP, -JUMP, timedelta(seconds=90), timedelta(seconds=-90)])
def test_nothing_is_erased_while_the_clocks_disagree(ledger, queue, monkeypatch, by):
    over = ended(ledger, retention_seconds=60)
    kept = ended(ledger, at=now(), retention_seconds=86_400)
    with monkeypatch.context() as patched:
        jumped(patched, by)
        with pytest.raises(ClocksDisagree, match="set the clocks right"):
            purge(ledger, queue)
        assert ledger.read(over.id) == over
        assert {round(seconds / 10) for seconds in ledger.clock.reported().values()} == {
            round(by.total_seconds() / 10)
        }
    purge(ledger, queue)
    assert ledger.read(over.id).state is State.ERASED, "once they agree again"
    assert ledger.read(kept.id) == kept


def test_a_store_with_another_date_erases_nothing(ledger, queue, monkeypatch):
    over = ended(ledger, retention_seconds=60)
    monkeypatch.setattr(ledger.objects, "date", lambda: now() + JUMP)
    with pytest.raises(ClocksDisagree, match="object-store"):
        purge(ledger, queue)
    assert ledger.read(over.id) == over


def test_a_sweeper_that_is_ahead_expires_and_erases_nothing(ledger, queue, redis, monkeypatch):
    sweeper = Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))
    waiting = a_job(expires_at=now() + timedelta(days=1))
    ledger.accept(waiting, b"image")
    running = a_job()
    ledger.accept(running, b"image")
    running = ledger.append(running.started("w", now()))
    interrupted = a_job()
    ledger.mark(interrupted)
    jumped(monkeypatch, JUMP)
    after_a_while(sweeper, redis)
    assert ledger.read(waiting.id).state is State.QUEUED
    assert ledger.read(running.id) == running
    assert ledger.marked(interrupted.id) == interrupted
    monkeypatch.setattr("jobs.store.clock.Clock.earliest", lambda _: now() + 2 * LEFTOVER_GRACE + JUMP)
    after_a_while(sweeper, redis)
    assert ledger.read(waiting.id).state is State.EXPIRED, "once all clocks say so"
