"""Serves /read/push: a reader asks to be told of readings in this browser, by Web Push, or ends that."""

from dataclasses import dataclass
from typing import Self

from flask import Blueprint, g, jsonify, request
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.people import People
from api.intake.body_limits import takes_form
from api.reading_room.page import room
from jobs.settings import Settings
from jobs.store.stores import Stores
from jobs.web_push.subscriptions import PushSubscriptions, push_subscription
from jobs.web_push.vapid import Vapid, contact_of

COOKIE = "osteo_push"
"""Has the id of the browser's subscription, so that any page can end it, also without script."""
_COOKIE_SECONDS = 365 * 86_400


@dataclass(frozen=True)
class Push:
    """The subscriptions of readers, and what a browser needs to make one.

    `public_key`: the `applicationServerKey`; None where push services know no address of the operator's.
    `exceptions`: those of callbacks.
    """

    subscriptions: PushSubscriptions
    public_key: str | None
    exceptions: frozenset[str]

    @classmethod
    def over(cls, settings: Settings, stores: Stores) -> Self:
        """Make it over these stores."""
        contact = contact_of(settings.mail_from, settings.public_url)
        public_key = Vapid(stores.signing_key, contact).public_key if contact else None
        return cls(PushSubscriptions(stores.records), public_key, settings.callback_exceptions)

    def end_here(self, reader_id: str, response: Response) -> None:
        """End the reader's subscription in the browser that asked."""
        if subscription_id := request.cookies.get(COOKIE):
            self.subscriptions.remove(reader_id, subscription_id)
            response.delete_cookie(COOKIE, path=room())


def add_push(pages: Blueprint, push: Push, people: People) -> None:
    """Add the subscriptions to the reading room."""

    @pages.get("/push")
    def push_state() -> Response:
        kept = {subscription.id for subscription in push.subscriptions.of(g.reader.id)}
        subscribed = request.cookies.get(COOKIE) in kept
        return jsonify(public_key=push.public_key, subscribed=subscribed, csrf=g.csrf)

    @pages.post("/push")
    @takes_form()
    def subscribe() -> Response:
        endpoint, p256dh, auth = (request.form.get(name, "") for name in ("endpoint", "p256dh", "auth"))
        try:
            subscription = push_subscription(endpoint, p256dh, auth, push.exceptions)
        except ValueError as error:
            detail = "This is no push subscription: `endpoint`, `p256dh` and `auth` are those of a browser."
            raise Problem(Slug.MALFORMED, detail) from error
        push.subscriptions.add(g.reader.id, subscription, request.cookies.get(COOKIE, ""))
        # A session that has just ended is trusted for a while. What it asks for would stay.
        if not people.readers.one(g.reader.id).accepts(g.session.id, g.session.began_at):
            push.subscriptions.remove(g.reader.id, subscription.id)
            raise Problem(Slug.UNAUTHORIZED, "The session has ended. Sign in again.")
        g.action = "subscribePush"
        response = Response(status=204)
        response.set_cookie(
            COOKIE,
            subscription.id,
            _COOKIE_SECONDS,
            path=room(),
            secure=people.secure,
            httponly=True,
            samesite="Strict",
        )
        return response

    @pages.post("/push/end")
    @takes_form()
    def unsubscribe() -> Response:
        g.action = "unsubscribePush"
        response = Response(status=204)
        push.end_here(g.reader.id, response)
        return response
