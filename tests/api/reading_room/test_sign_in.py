"""Tests how people sign in and out, and what forged, old, foreign and guessed requests get."""

import json
from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from itsdangerous import URLSafeSerializer

from api.identity.attempts import OF_KEY
from api.identity.key_store import Keys
from api.identity.session import COOKIE, Sessions
from jobs.reading.reader import SESSION_LIFETIME
from jobs.record.job import now
from jobs.store.audit import Audit
from tests.api.reading_room.conftest import OWN, Browser


def acts(ledger, redis) -> list[dict]:
    audit = Audit(ledger.objects, redis)
    return [*audit.waiting(), *audit.entries(now() - timedelta(minutes=5))]


def test_a_reader_signs_in_sees_a_page_signs_out_and_is_audited(person: Browser, signing, ledger, redis):
    key, reader = signing
    answer = person.sign_in(key)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/read")
    cookies = SimpleCookie(answer.headers.getlist("Set-Cookie")[0])
    sent = cookies[COOKIE]
    assert (sent["path"], sent["samesite"], sent["httponly"], sent["secure"]) == (
        "/read",
        "Strict",
        True,
        True,
    )
    assert int(sent["max-age"]) == SESSION_LIFETIME.total_seconds() == 8 * 3600
    assert key not in str(sent)
    assert reader.id in person.open("/read/own").text
    token = person.token("/read/own")
    out = person.open("/read/sign-out", "POST", {"Origin": OWN}, data={"csrf": token})
    assert (out.status_code, out.headers["Location"], person.cookie()) == (303, "/read/sign-in", None)
    assert person.open("/read/own").status_code == 303
    found = [
        (entry["action"], entry["reader"], entry["key"], entry["client"]) for entry in acts(ledger, redis)
    ]
    assert found == [("sign-in", reader.id, None, "clinic"), ("sign-out", reader.id, None, "clinic")]


def test_a_page_without_a_session_leads_to_the_form_and_back(person: Browser, signing):
    answer = person.open("/read/own?state=due&n=2")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/read/sign-in?next=/read/own%3Fstate%3Ddue%26n%3D2",
    )
    form = person.open(answer.headers["Location"]).text
    assert 'name="next" value="/read/own?state=due&amp;n=2"' in form
    back = person.sign_in(signing[0], next="/read/own?state=due&n=2")
    assert back.headers["Location"] == "/read/own?state=due&n=2"
    assert person.open("/read/sign-in?next=/read/own").headers["Location"] == "/read/own"


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "/read//evil.example", "/readable"),
        *(
            "/read/../v1/jobs",
            "/v1/jobs",
            "javascript:alert(1)",
            "/read\r\nX: y",
            "read",
            "/read/own#x",
            " /read",
        ),
    ],
)
def test_next_leads_to_pages_of_the_reading_room_alone(person: Browser, signing, elsewhere: str):
    assert person.sign_in(signing[0], next=elsewhere).headers["Location"] == "/read"


def test_a_wrong_key_is_refused_on_a_page_and_audited(person: Browser, ledger, redis):
    answer = person.sign_in("osteo_reader_" + "A" * 43)
    assert (answer.status_code, person.cookie()) == (401, None)
    assert 'role="alert"' in answer.text
    assert "AAAA" not in answer.text
    (entry,) = acts(ledger, redis)
    assert (entry["action"], entry["reader"], entry["client"]) == ("sign-in-refused", None, "")


def test_an_api_key_signs_no_one_in_and_opens_no_page(person: Browser, ledger):
    key = Keys(ledger.records).create("clinic")
    assert person.sign_in(key).status_code == 401
    answer = person.open("/read/own", headers={"Authorization": f"Bearer {key}", "Accept": "*/*"})
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")


def test_a_cookie_opens_nothing_outside_the_reading_room(person: Browser, signing):
    person.sign_in(signing[0])
    person.with_cookie(str(person.cookie()))
    person.client.set_cookie(COOKIE, str(person.cookie()), domain="osteo.example", path="/")
    assert person.open("/v1/jobs").status_code == 401


def test_a_session_is_new_at_each_sign_in_and_ends_the_one_before(person: Browser, signing, app, browser_of):
    person.with_cookie("planted")
    person.sign_in(signing[0])
    first = str(person.cookie())
    assert first != "planted"
    person.client.set_cookie("osteo_session", first, domain="osteo.example", path="/read")
    token = person.token("/read/own")
    again = browser_of(app).with_cookie(first)
    # The form is opened by a browser that has no session, as a page for signing in leads on otherwise.
    other = browser_of(app)
    form = {"csrf": other.token(), "key": signing[0]}
    again.with_cookie(str(other.cookie("osteo_sign_in")), "osteo_sign_in")
    assert again.open("/read/sign-in", "POST", data=form).status_code == 303
    assert again.cookie() != first
    assert person.open("/read/own").status_code == 303, "the session before has ended"
    assert again.open("/read/own", "POST", data={"csrf": token}).status_code == 403


def test_a_forged_or_changed_cookie_is_refused(person: Browser, signing, app, browser_of):
    person.sign_in(signing[0])
    good = str(person.cookie())
    body, _, signature = good.rpartition(".")
    forged = URLSafeSerializer("another key", salt=COOKIE).dumps(["x", signing[1].id, 2**41])
    for text in (good[:-1], f"{body}x.{signature}", body, "", "." * 9, str(forged), "ü", good + good):
        assert browser_of(app).with_cookie(text).open("/read/own").status_code == 303, text
    assert person.open("/read/own").status_code == 200


def test_a_session_ends_after_eight_hours(person: Browser, signing, monkeypatch):
    monkeypatch.setattr("api.identity.session.now", lambda: now() - SESSION_LIFETIME + timedelta(minutes=1))
    person.sign_in(signing[0])
    monkeypatch.undo()
    old = str(person.cookie())
    person.with_cookie(old)
    assert person.open("/read/sign-in").status_code == 303, "a minute before its end it still holds"
    monkeypatch.setattr("api.identity.session.now", lambda: now() + timedelta(minutes=1))
    assert person.open("/read/sign-in").status_code == 200


def test_a_session_that_was_signed_out_of_ends_in_other_processes(process, browser_of, signing):
    one, other, trusting = process(key_seconds=0), process(key_seconds=0), process(key_seconds=600)
    person = browser_of(one)
    person.sign_in(signing[0])
    stolen = str(person.cookie())
    elsewhere, slow = browser_of(other).with_cookie(stolen), browser_of(trusting).with_cookie(stolen)
    assert elsewhere.open("/read/own").status_code == slow.open("/read/own").status_code == 200
    person.open("/read/sign-out", "POST", data={"csrf": person.token("/read/own")})
    assert elsewhere.open("/read/own").status_code == 303
    assert slow.open("/read/own").status_code == 200, (
        "for OSTEO_KEY_SECONDS a process trusts what it has read"
    )


@pytest.mark.parametrize("end", ["disable", "rotate"])
def test_a_reader_who_is_disabled_or_gets_a_new_key_is_signed_out(
    process, browser_of, signing, readers, end: str
):
    person = browser_of(process(key_seconds=0))
    person.sign_in(signing[0])
    getattr(readers, end)(signing[1].id)
    assert person.open("/read/own").status_code == 303
    assert person.sign_in(signing[0]).status_code == 401


def test_a_form_without_the_token_of_its_session_is_refused(
    person: Browser, signing, app, browser_of, readers
):
    key, _ = readers.create("Dr. Bert Joint", frozenset({"msk"}))
    other = browser_of(app)
    other.sign_in(key)
    before = person.token()
    person.sign_in(signing[0])
    own = person.token("/read/own")
    for token in ("", "x", "ü", own[:-1], other.token("/read/own"), before):
        answer = person.open("/read/own", "POST", data={"csrf": token})
        assert (answer.status_code, "form" in answer.text) == (403, True), token
    assert person.open("/read/own", "POST").status_code == 403
    assert person.open("/read/own", "POST", data={"csrf": own}).status_code == 200
    assert person.open("/read/own", "POST", {"X-CSRF-Token": own}, json={}).status_code == 200


def test_the_form_for_signing_in_needs_its_own_token(person: Browser, signing, app, browser_of):
    answer = person.open("/read/sign-in", "POST", data={"key": signing[0]})
    assert (answer.status_code, person.cookie()) == (403, None)
    attacker = browser_of(app)
    planted = attacker.token()
    answer = person.open("/read/sign-in", "POST", data={"key": signing[0], "csrf": planted})
    assert (answer.status_code, person.cookie()) == (403, None), "the token of another browser's form"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://osteo.example.evil.example", ""])
def test_a_form_from_another_origin_is_refused(person: Browser, signing, origin: str):
    person.sign_in(signing[0])
    form = {"csrf": person.token("/read/own")}
    assert person.open("/read/own", "POST", {"Origin": origin}, data=form).status_code == 403
    for own in (OWN, "https://OSTEO.example"):
        assert person.open("/read/own", "POST", {"Origin": own}, data=form).status_code == 200


def test_attempts_with_one_key_are_limited(person: Browser, signing):
    for _ in range(OF_KEY):
        assert person.sign_in("osteo_reader_" + "A" * 43).status_code == 401
    refused = person.sign_in("osteo_reader_" + "A" * 43)
    assert (refused.status_code, "too many attempts" in refused.text) == (429, True)
    assert 1 <= int(refused.headers["Retry-After"]) <= 120
    assert person.sign_in(signing[0]).status_code == 303, "another reader may"


def test_attempts_from_one_address_are_limited(person: Browser, signing, monkeypatch):
    monkeypatch.setattr("api.identity.attempts.OF_ADDRESS", 3)
    for number in range(3):
        assert person.sign_in(f"osteo_reader_{number}" + "A" * 42).status_code == 401
    assert person.sign_in(signing[0]).status_code == 429


def test_a_problem_is_a_page_for_a_browser_and_json_for_a_program(person: Browser):
    shown = person.open("/read/no/such/page")
    assert (shown.status_code, shown.mimetype) == (404, "text/html")
    assert "A reading aid, not a diagnosis." in shown.text
    for accept in ("application/json", "*/*", "application/problem+json"):
        told = person.open("/read/no/such/page", headers={"Accept": accept})
        assert (told.status_code, told.mimetype) == (404, "application/problem+json")
        assert json.loads(told.text)["type"] == "/problems/not-found"


def test_every_answer_has_the_content_policy(person: Browser, process, browser_of, signing):
    strict = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    person.sign_in(signing[0])
    for path in ("/read/own", "/read/sign-in", "/read/nowhere", "/read/static/room.css"):
        headers = person.open(path).headers
        assert headers["Content-Security-Policy"] == strict, path
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert person.open("/read/own").headers["Cache-Control"] == "no-store"
    ehr = browser_of(process(frame_ancestors=frozenset({"https://ehr.osteo.example"})))
    assert (
        "frame-ancestors https://ehr.osteo.example;" in ehr.open("/read").headers["Content-Security-Policy"]
    )
    assert "X-Frame-Options" not in ehr.open("/read").headers


def test_pages_have_no_inline_script_or_style(person: Browser, signing):
    pages = [person.open(path).text for path in ("/read/sign-in", "/read/nowhere")]
    pages.append(person.sign_in("wrong").text)
    for text in pages:
        assert "<script" not in text.replace('<script type="module" src="/read/static/', "")
        assert "style=" not in text
        assert "onclick" not in text
        assert "://" not in text


def test_a_style_sheet_is_open_cached_and_has_an_etag(person: Browser):
    sheet = person.open("/read/static/room.css")
    assert (sheet.status_code, sheet.mimetype) == (200, "text/css")
    assert sheet.headers["Cache-Control"] == "public, max-age=300"
    again = person.open("/read/static/room.css", headers={"If-None-Match": sheet.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")
    for name in ("../sign_in.py", "nothing.css", "%2e%2e/page.py", ""):
        assert person.open(f"/read/static/{name}").status_code == 404


def test_the_name_of_a_reader_is_text_on_every_page(person: Browser, readers):
    key, _ = readers.create("<b onclick=x>Ada</b>", frozenset())
    person.sign_in(key)
    shown = person.open("/read/nowhere").text
    assert "<b onclick" not in shown


def test_a_reader_key_is_not_stored_and_not_logged(person: Browser, signing, ledger, caplog):
    caplog.set_level("INFO")
    person.sign_in(signing[0] + "x")
    person.sign_in(signing[0])
    stored = b"".join(ledger.objects.get(name) for name in ledger.objects.keys("reader"))
    assert signing[0].encode() not in stored
    assert signing[0] not in caplog.text


def test_a_path_prefix_is_kept_in_cookies_links_and_redirects(process, browser_of, signing):
    person = browser_of(process(public_url="https://osteo.example/bones"))
    text = person.open("/read/sign-in").text
    assert 'action="/bones/read/sign-in"' in text
    assert 'href="/bones/read/static/room.css"' in text
    answer = person.open("/read/own")
    assert answer.headers["Location"].startswith("/bones/read/sign-in?next=/read/own")


def test_a_cookie_goes_over_http_only_where_the_service_says_http(process, browser_of, signing):
    person = browser_of(process(public_url="http://127.0.0.1:8000"))
    answer = person.open("/read/sign-in")
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_sessions_of_two_signing_keys_do_not_fit(readers, signing):
    _, cookie = Sessions(readers, "a" * 32).begin(signing[1])
    assert Sessions(readers, "a" * 32).of(cookie)
    assert Sessions(readers, "b" * 32).of(cookie) is None
