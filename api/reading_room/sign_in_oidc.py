"""Serves /read/sign-in/oidc: people sign in at the OpenID Connect provider, and get a cookie."""

import logging

from flask import Blueprint, g, redirect, request
from werkzeug.wrappers import Response

from api.identity.links import subject_of
from api.identity.oidc import PersonRefused, Provider, ProviderAway
from api.identity.oidc_flows import COOKIE, SECONDS, Flow
from api.identity.people import People
from api.identity.session import COOKIE as SESSION_COOKIE
from api.reading_room.access import own_page, without_session
from api.reading_room.page import page, room
from api.reading_room.sign_in_form import SignInForm
from api.routes.health import check_compatibility
from jobs.record.ids import digest_of
from jobs.store.compatibility import Compatibility

log = logging.getLogger(__name__)

_AWAY = (
    "Your organisation's sign-in service does not answer. Try again later, or sign in with your reader key."
)
_STALE = "This sign-in has expired, was used before, or was begun in another browser. Sign in again."
_REFUSED = "Your organisation's sign-in service did not confirm who you are. Sign in again."
_DISABLED = "Your reader was disabled. Ask the operator of this service."
_UNKNOWN = (
    "No reader belongs to your account. Ask the operator of this service to link it to your reader: "
    "your organisation's sign-in service calls the account {}"
)


def add_oidc_sign_in(
    pages: Blueprint, people: People, provider: Provider, compatibility: Compatibility
) -> None:
    """Add the page that leads to the provider, and the one to which the provider leads back."""
    form = SignInForm(people)

    @pages.get("/sign-in/oidc")
    @without_session
    def to_provider() -> Response:
        check_compatibility(compatibility)
        back = request.args.get("next", "")
        if people.sessions.of(request.cookies.get(SESSION_COOKIE)):
            return redirect(own_page(back), 303)
        flow, cookie = people.flows.begin(back)
        form.count_attempt(digest_of(flow.state))
        try:
            response = redirect(provider.address(flow), 303)
        except ProviderAway as error:
            return away(back, error)
        # Strict would keep the cookie from the provider's redirect, which comes from another site.
        form.set_cookie(response, COOKIE, cookie, SECONDS, same_site="Lax")
        return response

    @pages.get("/sign-in/oidc/callback")
    @without_session
    def from_provider() -> Response:
        check_compatibility(compatibility)
        g.sign_in_method = "oidc"
        flow = people.flows.take(request.cookies.get(COOKIE), request.args.get("state", ""))
        response = signed_in(flow) if flow else refused("", _STALE, "the state is not that of a sign-in")
        response.delete_cookie(COOKIE, path=room())
        return response

    def signed_in(flow: Flow) -> Response:
        code = request.args.get("code")
        if not code:
            return refused(flow.back, _REFUSED, "the provider sent no code")
        try:
            person = provider.person(flow, code)
        except ProviderAway as error:
            return away(flow.back, error)
        except PersonRefused as error:
            return refused(flow.back, _REFUSED, str(error))
        reader = people.links.reader_of(subject_of(provider.issuer, person.sub), person.email)
        if reader is None:
            return refused(flow.back, _UNKNOWN.format(person.sub), "no reader is linked", 403)
        if reader.disabled_at:
            return refused(flow.back, _DISABLED, f"{reader.id} is disabled", 403)
        # A redirect would still be the provider's, and the browser would not send the Strict cookie with it.
        response = page("signed_in.html", back=own_page(flow.back))
        form.begin_session(reader, response)
        return response

    def refused(back: str, text: str, reason: str, status: int = 401) -> Response:
        g.action = "sign-in-refused"
        log.warning("sign-in by OpenID Connect refused: %s", reason)
        return form.show(back, text, status)

    def away(back: str, error: ProviderAway) -> Response:
        log.error("the OpenID Connect provider does not answer as it should: %s", error)
        return form.show(back, _AWAY, 503)
