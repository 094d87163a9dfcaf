"""Tests how people sign in at an OpenID Connect provider, against a real one in a process of its own."""

import json
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import urllib3
from authlib.jose import JsonWebToken, jwt
from flask import Flask
from itsdangerous.timed import TimestampSigner
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from api.identity.attempts import OF_ADDRESS
from api.identity.links import Links, subject_of
from api.identity.oidc import Provider
from api.identity.oidc_flows import COOKIE, SECONDS
from api.identity.session import COOKIE as SESSION_COOKIE
from jobs.reading.readers import Readers
from jobs.settings import Settings, SettingsError
from stack.addresses import free_ports
from tests.api.reading_room.conftest import OWN, Browser
from tests.api.reading_room.oidc_provider import RealProvider, real_provider
from tests.api.reading_room.test_sign_in import acts

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium

ADA = {"email": "ada@clinic.example", "email_verified": True}
OURS = {"oidc_client_id": "osteo", "oidc_client_secret": "the secret of the tests"}
TOKEN, KEYS, DESCRIPTION = "/oauth2/token", "/jwks", "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def running() -> Iterator[RealProvider]:
    with real_provider() as provider:
        yield provider


@pytest.fixture
def provider(running: RealProvider) -> RealProvider:
    running.changes.clear()
    running.asked.clear()
    running.knows("ada", **ADA)
    return running


@pytest.fixture
def app(process, provider: RealProvider) -> Flask:
    return process(oidc_issuer=provider.issuer, key_seconds=0, **OURS)


@dataclass
class Way:
    """The way of a person through the sign-in."""

    person: Browser
    provider: RealProvider

    def begin(self, back: str = "") -> str:
        """Returns the address at the provider."""
        answer = self.person.open(f"/read/sign-in/oidc?{urlencode({'next': back})}")
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def end(self, callback: str) -> TestResponse:
        parts = urlsplit(callback)
        assert f"{parts.scheme}://{parts.netloc}" == OWN
        return self.person.open(f"{parts.path}?{parts.query}")

    def go(self, sub: str = "ada", back: str = "") -> TestResponse:
        return self.end(self.provider.sign_in(self.begin(back), sub))


@pytest.fixture
def way(person: Browser, provider: RealProvider) -> Way:
    return Way(person, provider)


def refused(answer: TestResponse, way: Way, status: int, words: str) -> None:
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert way.person.cookie() is None
    assert way.person.cookie(COOKIE) is None, "the cookie of a sign-in serves once"


def test_a_reader_with_the_verified_mail_is_signed_in_linked_and_audited(
    way: Way, signing, readers: Readers, ledger, redis, caplog
):
    for name in ("api", "authlib", "requests"):
        caplog.set_level("DEBUG", name)
    assert "/read/sign-in/oidc?next=/read/own" in way.person.open("/read/sign-in?next=/read/own").text
    answer = way.go(back="/read/own")
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/read/own">' in answer.text
    assert 'href="/read/own"' in answer.text
    cookies = SimpleCookie("\r\n".join(answer.headers.getlist("Set-Cookie")))
    assert cookies[SESSION_COOKIE]["samesite"] == "Strict"
    assert cookies[COOKIE].value == ""
    assert signing[1].id in way.person.open("/read/own").text
    assert readers.one(signing[1].id).oidc_subject == subject_of(way.provider.issuer, "ada")
    (entry,) = acts(ledger, redis)
    assert (entry["action"], entry["method"], entry["reader"]) == ("sign-in", "oidc", signing[1].id)
    assert OURS["oidc_client_secret"] not in caplog.text
    assert way.begin("/read/own") == "/read/own", "who is signed in is not sent to the provider"


def test_a_linked_reader_needs_no_mail(way: Way, readers: Readers, ledger, browser_of, app):
    _, reader = readers.create("Dr. Bert Joint", frozenset({"msk"}))
    way.provider.knows("bert")
    Links(ledger.records, readers).link(reader.id, subject_of(way.provider.issuer, "bert"))
    assert way.go("bert").status_code == 200
    assert reader.id in way.person.open("/read/own").text
    other = Way(browser_of(app), way.provider)
    assert other.go("bert").status_code == 200


def test_the_request_has_pkce_state_nonce_and_hides_their_secrets(way: Way, signing):
    address = way.begin()
    asked = {name: value for name, (value,) in parse_qs(urlsplit(address).query).items()}
    assert asked["redirect_uri"] == f"{OWN}/read/sign-in/oidc/callback"
    assert (asked["response_type"], asked["scope"], asked["client_id"]) == ("code", "openid email", "osteo")
    assert asked["code_challenge_method"] == "S256"
    cookie = str(way.person.cookie(COOKIE))
    assert way.end(way.provider.sign_in(address, "ada")).status_code == 200
    (form,) = (form for path, form in way.provider.asked if path == TOKEN)
    verifier = form["code_verifier"][0]
    digest = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert digest == asked["code_challenge"]
    assert len(asked["state"]) >= 32
    for secret in (verifier, asked["nonce"]):
        assert secret not in cookie


def test_the_cookie_of_a_sign_in_is_lax_short_and_for_the_room_alone(way: Way):
    answer = way.person.open("/read/sign-in/oidc")
    sent = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert (sent["path"], sent["samesite"], sent["httponly"], sent["secure"]) == ("/read", "Lax", True, True)
    assert int(sent["max-age"]) == SECONDS == 600


def test_an_unknown_person_is_told_whom_to_ask(way: Way, signing, ledger, redis):
    way.provider.knows("eve", email="eve@elsewhere.example", email_verified=True)
    answer = way.go("eve")
    refused(answer, way, 403, "Ask the operator of this service")
    assert "eve" in answer.text
    (entry,) = acts(ledger, redis)
    assert (entry["action"], entry["method"], entry["reader"]) == ("sign-in-refused", "oidc", None)


def test_an_unverified_mail_finds_no_reader(way: Way, signing, readers: Readers):
    for verified in (False, None, "true", 1):
        way.provider.knows("ada", email=ADA["email"], email_verified=verified)
        refused(way.go(), way, 403, "Ask the operator")
    assert readers.one(signing[1].id).oidc_subject is None


def test_a_mail_of_two_readers_finds_neither(way: Way, signing, readers: Readers):
    _, second = readers.create("Dr. Ada Bone", frozenset({"msk"}), None, "Ada@Clinic.example")
    refused(way.go(), way, 403, "Ask the operator")
    readers.disable(second.id)
    assert way.go().status_code == 200


def test_a_mail_that_passed_to_another_person_opens_nothing(way: Way, signing, browser_of, app):
    assert way.go().status_code == 200
    way.provider.knows("successor", **ADA)
    other = Way(browser_of(app), way.provider)
    refused(other.go("successor"), other, 403, "Ask the operator")


def test_a_person_is_linked_to_one_reader_and_a_new_link_ends_sessions(
    way: Way, signing, readers: Readers, ledger
):
    links, (_, second) = Links(ledger.records, readers), readers.create("Dr. Bert Joint", frozenset())
    assert way.go().status_code == 200
    mine = subject_of(way.provider.issuer, "ada")
    with pytest.raises(ValueError, match=signing[1].id):
        links.link(second.id, mine)
    links.link(signing[1].id, subject_of(way.provider.issuer, "ada-2"))
    assert way.person.open("/read/own").status_code == 303
    assert links.link(second.id, mine).oidc_subject == mine


def test_a_disabled_reader_is_refused(way: Way, signing, readers: Readers, browser_of, app):
    assert way.go().status_code == 200
    readers.disable(signing[1].id)
    again = Way(browser_of(app), way.provider)
    refused(again.go(), again, 403, "was disabled")


def test_a_state_that_is_not_that_of_the_browser_is_refused(way: Way, signing, browser_of, app):
    callback = way.provider.sign_in(way.begin(), "ada")
    other = Way(browser_of(app), way.provider)
    refused(other.end(callback), other, 401, "another browser")
    other.begin()
    refused(other.end(callback), other, 401, "another browser")
    changed = callback.replace("state=", "state=x")
    refused(way.end(changed), way, 401, "another browser")
    assert not [path for path, _ in way.provider.asked if path == TOKEN]


def test_a_forged_cookie_of_a_sign_in_is_refused(way: Way, signing):
    callback = way.provider.sign_in(way.begin(), "ada")
    good = str(way.person.cookie(COOKIE))
    for text in (f"{good}x", good.partition(".")[0], "", "ü"):
        way.person.with_cookie(text, COOKIE)
        refused(way.end(callback), way, 401, "expired")


def test_a_callback_serves_once(way: Way, signing, browser_of, app):
    callback = way.provider.sign_in(way.begin(), "ada")
    stolen = str(way.person.cookie(COOKIE))
    assert way.end(callback).status_code == 200
    thief = Way(browser_of(app).with_cookie(stolen, COOKIE), way.provider)
    refused(thief.end(callback), thief, 401, "used before")
    assert len([path for path, _ in way.provider.asked if path == TOKEN]) == 1


def test_a_sign_in_ends_after_ten_minutes(way: Way, signing, monkeypatch):
    callback = way.provider.sign_in(way.begin(), "ada")
    stamp = "itsdangerous.timed.TimestampSigner.get_timestamp"
    at = TimestampSigner.get_timestamp
    monkeypatch.setattr(stamp, lambda signer: at(signer) + SECONDS + 1)
    refused(way.end(callback), way, 401, "expired")


def test_a_token_with_another_nonce_is_refused(way: Way, signing):
    address = way.begin()
    nonce = parse_qs(urlsplit(address).query)["nonce"][0]
    callback = way.provider.sign_in(address.replace(nonce, "another"), "ada")
    refused(way.end(callback), way, 401, "did not confirm")


def test_a_code_of_another_sign_in_is_refused(way: Way, signing, browser_of, app):
    victim = Way(browser_of(app), way.provider)
    code = parse_qs(urlsplit(way.provider.sign_in(victim.begin(), "ada")).query)["code"][0]
    mine = parse_qs(urlsplit(way.begin()).query)["state"][0]
    query = urlencode({"code": code, "state": mine})
    refused(way.end(f"{OWN}/read/sign-in/oidc/callback?{query}"), way, 401, "did not confirm")


def test_a_person_who_declines_at_the_provider_is_told(way: Way, signing):
    state = parse_qs(urlsplit(way.begin()).query)["state"][0]
    answer = way.end(f"{OWN}/read/sign-in/oidc/callback?error=access_denied&state={state}")
    refused(answer, way, 401, "did not confirm")


def test_a_token_that_has_ended_is_refused(way: Way, signing):
    way.provider.restart("-e", "-100")
    try:
        way.provider.knows("ada", **ADA)
        refused(way.go(), way, 401, "did not confirm")
    finally:
        way.provider.restart()


def changed_token(change: Callable[[str], str], status: int, headers: dict, body: bytes):
    token = json.loads(body)
    return status, headers, json.dumps(token | {"id_token": change(token["id_token"])}).encode()


def unsigned(token: str) -> str:
    header = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def test_a_token_that_the_provider_did_not_sign_is_refused(way: Way, signing):
    for change in (unsigned, lambda token: f"{token[:-8]}AAAAAAAA", lambda _: "x", lambda _: ""):
        way.provider.changes[TOKEN] = partial(changed_token, change)
        refused(way.go(), way, 401, "did not confirm")


def test_a_token_signed_with_a_published_key_as_a_password_is_refused(way: Way, signing):
    def forged(token: str) -> str:
        payload = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
        key = urllib3.request("GET", way.provider.inside + KEYS).json()["keys"][0]
        header = {"alg": "HS256", "kid": key.get("kid")}
        return jwt.encode(header, payload, json.dumps(key).encode()).decode()

    way.provider.changes[TOKEN] = partial(changed_token, forged)
    refused(way.go(), way, 401, "did not confirm")


def test_a_token_for_another_service_or_of_another_issuer_is_refused(way: Way, signing, monkeypatch):
    callback = way.provider.sign_in(way.begin(), "ada")
    monkeypatch.setattr("api.identity.oidc.JsonWebToken.decode", with_claims(aud="another", azp="osteo"))
    refused(way.end(callback), way, 401, "did not confirm")
    monkeypatch.undo()
    callback = way.provider.sign_in(way.begin(), "ada")
    monkeypatch.setattr("api.identity.oidc.JsonWebToken.decode", with_claims(iss="https://another.example"))
    refused(way.end(callback), way, 401, "did not confirm")


def with_claims(**claims: str):
    """Decode as ever, then let the token say other claims, as if the provider had signed them."""
    decode = JsonWebToken.decode

    def decoded(*given, **named):
        found = decode(*given, **named)
        found.update(claims)
        return found

    return decoded


def test_new_keys_of_the_provider_are_taken_at_once(way: Way, signing, browser_of, app):
    assert way.go().status_code == 200
    before = urllib3.request("GET", way.provider.inside + KEYS).json()
    way.provider.restart()
    assert urllib3.request("GET", way.provider.inside + KEYS).json() != before
    way.provider.knows("ada", **ADA)
    assert Way(browser_of(app), way.provider).go().status_code == 200


def test_a_provider_that_is_down_is_said_and_a_key_still_signs_in(process, browser_of, signing):
    (port,) = free_ports(1)
    person = browser_of(process(oidc_issuer=f"http://127.0.0.1:{port}", **OURS))
    answer = person.open("/read/sign-in/oidc")
    assert (answer.status_code, "does not answer" in answer.text) == (503, True)
    assert 'name="key"' in answer.text
    assert person.sign_in(signing[0]).status_code == 303


def test_a_provider_that_goes_down_during_a_sign_in_is_said(way: Way, signing):
    callback = way.provider.sign_in(way.begin(), "ada")
    way.provider.changes[TOKEN] = lambda *_: (502, {}, b"<html>")
    refused(way.end(callback), way, 503, "does not answer")


def test_a_provider_that_is_silent_is_left_after_a_while(way: Way, signing, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("api.identity.oidc.SECONDS", 0.2)

    def silent(*answer):
        release.wait(60)
        return answer

    way.provider.changes[DESCRIPTION] = silent
    try:
        answer = way.person.open("/read/sign-in/oidc")
        assert (answer.status_code, "does not answer" in answer.text) == (503, True)
    finally:
        release.set()


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_an_endpoint_that_is_no_https_url_is_not_used(way: Way, signing, endpoint: str):
    for address in ("http://169.254.169.254/latest", "file:///etc/passwd", "javascript:x", "", 7):
        way.provider.changes.clear()
        callback = way.provider.sign_in(way.begin(), "ada")
        way.provider.change(DESCRIPTION, **{endpoint: address})
        if endpoint == "authorization_endpoint":
            assert way.person.open("/read/sign-in/oidc").status_code == 503
        else:
            refused(way.end(callback), way, 503, "does not answer")


def test_a_provider_elsewhere_names_no_endpoint_at_loopback():
    provider = Provider("https://login.example", "osteo", "x", OWN)
    for address in ("http://127.0.0.1:6379/", "https://localhost/", "https://[::1]/"):
        with pytest.raises(Exception, match="no https URL"):
            provider._endpoint({"jwks_uri": address}, "jwks_uri")
    assert provider._endpoint({"jwks_uri": "https://keys.example/"}, "jwks_uri")


def test_a_redirect_of_the_provider_is_not_followed(way: Way, signing):
    elsewhere = {"Location": f"{way.provider.inside}{KEYS}"}
    way.provider.changes[KEYS] = lambda *_: (302, elsewhere, b"")
    refused(way.go(), way, 503, "does not answer")


def test_a_provider_of_another_name_is_not_used(way: Way, signing):
    way.provider.change(DESCRIPTION, issuer="https://another.example")
    assert way.person.open("/read/sign-in/oidc").status_code == 503


def test_attempts_at_the_provider_are_limited(way: Way, signing, monkeypatch):
    assert OF_ADDRESS == 60
    monkeypatch.setattr("api.identity.attempts.OF_ADDRESS", 2)
    way.begin()
    way.begin()
    answer = way.person.open("/read/sign-in/oidc")
    assert (answer.status_code, "too many attempts" in answer.text) == (429, True)


def test_a_sign_in_leads_to_pages_of_the_reading_room_alone(way: Way, signing, browser_of, app):
    for elsewhere in ("https://evil.example", "//evil.example", "/v1/jobs", "/read/" + "a" * 2000):
        other = Way(browser_of(app), way.provider)
        assert 'content="0; url=/read"' in other.go(back=elsewhere).text


def test_without_a_provider_there_is_no_page_for_it(process, browser_of):
    person = browser_of(process())
    assert "oidc" not in person.open("/read/sign-in").text
    assert person.open("/read/sign-in/oidc", headers={"Accept": "*/*"}).status_code in (401, 404)


@pytest.mark.parametrize("missing", ["oidc_issuer", "oidc_client_id", "oidc_client_secret", "public_url"])
def test_a_provider_needs_all_of_its_settings(settings: Settings, missing: str):
    whole = replace(settings, oidc_issuer="https://login.example", **OURS)
    assert Provider.of(whole)
    assert Provider.of(settings) is None
    with pytest.raises(SettingsError, match="together"):
        Provider.of(replace(whole, **{missing: "" if missing == "public_url" else None}))


@pytest.mark.parametrize(
    "issuer", ["http://login.example", "login.example", "https://", "https://u:p@x.example"]
)
def test_an_issuer_that_is_no_https_url_is_refused(issuer: str):
    with pytest.raises(SettingsError, match="OSTEO_OIDC_ISSUER"):
        Settings.from_environment({"OSTEO_SIGNING_KEY": "x" * 32, "OSTEO_OIDC_ISSUER": issuer})


def test_the_secret_of_the_service_is_in_no_text_of_the_settings(settings: Settings):
    assert OURS["oidc_client_secret"] not in repr(replace(settings, **OURS))


def test_chromium_comes_back_from_another_site_with_its_session(process, signing, browser: "Chromium"):
    (port,) = free_ports(1)
    own = f"http://127.0.0.1:{port}"
    with real_provider("localhost") as provider:  # another site than 127.0.0.1
        provider.knows("ada", **ADA)
        app = process(oidc_issuer=provider.issuer, public_url=own, **OURS)
        server = make_server("127.0.0.1", port, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        context = browser.new_context()
        try:
            page = context.new_page()
            page.goto(f"{own}/read/own")
            page.get_by_role("link", name="Sign in with your organisation's account").click()
            page.locator("input[name=sub]").fill("ada")
            page.keyboard.press("Enter")
            page.wait_for_url(f"{own}/read/own")
            assert signing[1].id in page.content()
            (cookie,) = context.cookies()
            assert (cookie["name"], cookie["sameSite"]) == (SESSION_COOKIE, "Strict")
        finally:
            context.close()
            server.shutdown()
            thread.join()
