"""Adds the operator's page to the reading room: queues of clients, callbacks, dead letters. Read only."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from flask import Blueprint, g
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.http.redis_metrics import ROLES
from api.reading_room import words
from api.reading_room.page import page
from jobs.record.errors import TransientError
from jobs.redis.delivery_queues import PROBES
from jobs.store.ledger import Ledger
from jobs.store.receivers import Receivers

OPERATORS = "operators"
"""The group of readers who may open the page."""
_DEAD_LETTERS = 50
"""Most dead letters that the page shows, oldest first."""


def add_operator_page(pages: Blueprint, ledger: Ledger, receivers: Receivers) -> None:
    """Add `operator`, which only a reader of the group `operators` may open."""

    @pages.get("/operator")
    def operator() -> Response:
        if OPERATORS not in g.reader.groups:
            raise Problem(Slug.NOT_FOUND, "This page is for readers of the group `operators` alone.")
        g.action, g.polled = "readOperatorPage", True
        return page(
            "operator.html",
            queues=_or_none(lambda: _queues(ledger)),
            kept=_or_none(lambda: _kept(ledger, receivers)),
            probes=PROBES,
            most=_DEAD_LETTERS,
            words=words,
            at=datetime.now(UTC),
        )


def _or_none(read: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return what is read; None where its store does not answer."""
    try:
        return read()
    except TransientError:
        return None


def _queues(ledger: Ledger) -> dict[str, Any]:
    """What Redis holds: processes, the queues of clients and of their receivers, and what has ended."""
    view, at = ledger.view, time.time()
    living = Counter(name.partition(":")[0] for name in view.heartbeats.alive())
    counts = view.counts()
    return {
        # A shadow runs only while a model is tried.
        "processes": {role: living[role] for role in ROLES if living[role] or role != "shadow"},
        "waiting": [
            (queue, words.span(timedelta(seconds=max(0.0, at - queue.since))))
            for queue in view.client_queues.by_client()
        ],
        "callbacks": [
            (queue, queue.due <= at, words.span(timedelta(seconds=at - queue.due)))
            for queue in view.delivery_queues.by_receiver()
        ],
        "delivered": counts.get("delivery:delivered", 0),
        "given_up": counts.get("delivery:failed", 0) + counts.get("delivery:disabled", 0),
    }


def _kept(ledger: Ledger, receivers: Receivers) -> dict[str, Any]:
    """What the object store holds: dead letters, and receivers that fail."""
    return {
        "dead_letters": list(islice(ledger.dead_letters(), _DEAD_LETTERS)),
        "receivers": list(receivers.all_failing()),
    }
