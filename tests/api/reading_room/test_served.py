"""People sign in at a real gunicorn, which reads only the bodies that a page takes."""

from urllib.parse import urlencode

import pytest
import urllib3

from api.openapi.json_body import MOST_BYTES
from jobs.reading.readers import Readers
from tests.api.conftest import Api, api, emptied, served

__all__ = ["api", "emptied", "served"]

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html", "Authorization": ""}
PAGE = {"Accept": "text/html", "Authorization": ""}


def cookies_of(answer: urllib3.BaseHTTPResponse) -> str:
    return "; ".join(text.partition(";")[0] for text in answer.headers.getlist("Set-Cookie"))


def token_of(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.data.decode().split('name="csrf" value="')[1].split('"')[0]


def sign_in(api: Api, key: str) -> urllib3.BaseHTTPResponse:
    form = api.request("GET", "/read/sign-in", headers=PAGE)
    body = urlencode({"csrf": token_of(form), "key": key})
    return api.request("POST", "/read/sign-in", headers=FORM | {"Cookie": cookies_of(form)}, body=body)


@pytest.fixture
def key(api: Api) -> str:
    return Readers(api.records).create("Dr. Ada Bone", frozenset({"msk"}), "clinic")[0]


def test_a_reader_signs_in_and_out_and_the_access_log_names_the_reader(api: Api, key: str):
    entered = sign_in(api, key)
    assert (entered.status, entered.headers["Location"]) == (303, "/read")
    cookie = cookies_of(entered).partition(";")[0]
    shown = api.request("GET", "/read/nowhere/at-all", headers=PAGE | {"Cookie": cookie})
    assert shown.status == 404
    left = api.request("POST", "/read/sign-out", headers=FORM | {"Cookie": cookie}, body="csrf=wrong")
    assert left.status == 403, left.data
    line = api.accessed(left)
    reader = next(iter(Readers(api.records).in_group("msk")))
    assert (line["client"], line["key"], line["reader"]) == ("clinic", None, reader.id)
    body = urlencode({"csrf": token_of(left)})
    left = api.request("POST", "/read/sign-out", headers=FORM | {"Cookie": cookie}, body=body)
    assert (left.status, left.headers["Location"]) == (303, "/read/sign-in")
    assert key not in api.log.read_text()
    assert "Ada" not in api.log.read_text()


@pytest.mark.parametrize("length", [MOST_BYTES + 1, 10_000_000])
def test_a_form_that_is_too_long_is_not_read(api: Api, key: str, length: int):
    form = api.request("GET", "/read/sign-in", headers=PAGE)
    body = urlencode({"csrf": token_of(form), "key": key}) + "&x=" + "y" * length
    answer = api.request("POST", "/read/sign-in", headers=FORM | {"Cookie": cookies_of(form)}, body=body)
    assert answer.status in (403, 413)
    assert "osteo_session" not in answer.headers.get("Set-Cookie", "")


def test_a_form_without_a_session_is_refused_on_a_page(api: Api):
    answer = api.request("POST", "/read/sign-out", headers=FORM, body="csrf=x")
    assert (answer.status, answer.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert b"/read/sign-in" in answer.data
