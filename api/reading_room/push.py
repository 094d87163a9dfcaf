"""Serves /read/push: a reader asks to be told of readings in this browser, by Web Push, or ends that."""

from dataclasses import dataclass
from typing import Self

from flask import Blueprint, g, jsonify, request
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.body_limits import takes_form
from jobs.reading.push_subscriptions import PushSubscriptions, push_subscription
from jobs.reading.vapid import Vapid
from jobs.settings import Settings
from jobs.store.stores import Stores


@dataclass(frozen=True)
class Push:
    """The subscriptions of readers, and what a browser needs to make one.

    `public_key`: the `applicationServerKey`. `exceptions`: those of callbacks.
    """

    subscriptions: PushSubscriptions
    public_key: str
    exceptions: frozenset[str]

    @classmethod
    def over(cls, settings: Settings, stores: Stores) -> Self:
        """Make it over these stores."""
        subscriptions = PushSubscriptions(stores.records)
        return cls(subscriptions, Vapid(stores.signing_key).public_key, settings.callback_exceptions)


def add_push(pages: Blueprint, push: Push) -> None:
    """Add the subscriptions to the reading room."""

    @pages.get("/push")
    def push_key() -> Response:
        return jsonify(public_key=push.public_key)

    @pages.post("/push")
    @takes_form()
    def subscribe() -> Response:
        endpoint, p256dh, auth = (request.form.get(name, "") for name in ("endpoint", "p256dh", "auth"))
        try:
            subscription = push_subscription(endpoint, p256dh, auth, push.exceptions)
        except ValueError as error:
            detail = "This is no push subscription: `endpoint`, `p256dh` and `auth` are those of a browser."
            raise Problem(Slug.MALFORMED, detail) from error
        push.subscriptions.add(g.reader.id, subscription)
        g.action = "subscribePush"
        return Response(status=204)

    @pages.post("/push/end")
    @takes_form()
    def unsubscribe() -> Response:
        push.subscriptions.remove(g.reader.id, request.form.get("endpoint", ""))
        g.action = "unsubscribePush"
        return Response(status=204)
