"""Tests that an image is stored as it was sent, wherever the pieces of the form end."""

import io

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from api.http.multipart_form import FormRequest
from tests import pictures
from tests.api.conftest import Api

EDGE = 64 * 1024
"""Bytes that are read at a time."""
HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'


def form_of(image: bytes, boundary: bytes, end: bytes) -> bytes:
    return HEAD.replace(b"--x", b"--" + boundary) + image + b"\r\n--" + boundary + end


def read_back(body: bytes, boundary: bytes) -> bytes:
    return request_of(body, boundary.decode()).files["image"].read()


@pytest.mark.parametrize("boundary", [b"x", b"-" * 24 + b"d74496d66958873e"])  # pragma: allowlist secret
@pytest.mark.parametrize("last", [b"\xff", b"\r\n-"])
def test_every_size_around_an_edge_is_read_as_it_was_sent(boundary: bytes, last: bytes):
    field = b'\r\nContent-Disposition: form-data; name="reference"\r\n\r\nR\r\n--' + boundary + b"--\r\n"
    for end in (b"--\r\n", b"--", field):
        # From an image that ends well before the edge to one whose boundary lies well behind it.
        around = len(form_of(b"", boundary, b"--\r\n")) + 40
        for size in range(EDGE - around, EDGE - len(HEAD) + 8):
            image = b"\x89" * (size - len(last)) + last
            assert read_back(form_of(image, boundary, end), boundary) == image, (size, end)


def request_of(body: bytes, boundary: str = "x", most_parts: int = 20) -> FormRequest:
    request = FormRequest(
        {
            "wsgi.input": io.BytesIO(body),
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": f"multipart/form-data; boundary={boundary}",
        }
    )
    request.max_form_parts = most_parts
    return request


def field(name: str, value: bytes, more: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n{more}\r\n'.encode() + value + b"\r\n"


def test_fields_are_text_in_the_charset_that_they_name():
    latin = "Content-Type: text/plain; charset=ISO-8859-1\r\n"
    body = field("a", "Röntgen".encode()) + field("b", "Röntgen".encode("latin-1"), latin) + b"--x--\r\n"
    assert request_of(body).form.to_dict() == {"a": "Röntgen", "b": "Röntgen"}
    assert request_of(field("a", b"\xff") + b"--x--").form["a"] == "\N{REPLACEMENT CHARACTER}"


def test_text_around_the_form_is_left_out():
    form = b"a preamble\r\n" + field("a", b"1") + field("a", b"2") + b"--x--\r\nan epilogue"
    assert request_of(form).form.getlist("a") == ["1", "2"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        field("a", b"1"),
        field("a", b"1")[:-2],
        b"--x\r\nContent-Type: text/plain\r\n\r\n1\r\n--x--",
        b"--x\r\n\x00: 1\r\n\r\n1\r\n--x--",
    ],
)
def test_a_malformed_form_is_empty(body: bytes):
    assert not request_of(body).form
    assert not request_of(body).files


@pytest.mark.parametrize("data", [b"\r\n--x" + b" \t" * EDGE, b"\r\n--xA" * 10_001, b"\r\n--x-A" * 20_000])
def test_a_form_that_is_slow_to_read_is_empty(data: bytes):
    assert not request_of(HEAD + data + b"\r\n--x--").files


def test_a_boundary_may_have_blanks_behind_it():
    padded = field("a", b"1")[:-2] + b"\r\n--x \t \r\n" + field("b", b"2")[5:] + b"--x--  \r\n"
    assert request_of(padded).form.to_dict() == {"a": "1", "b": "2"}


def test_an_empty_boundary_bounds_nothing():
    assert not request_of(field("a", b"1").replace(b"--x", b"--") + b"----", '""').form


def test_a_form_of_too_many_parts_or_too_long_fields_is_refused():
    three = field("a", b"1") * 3 + b"--x--"
    assert len(request_of(three, most_parts=3).form.getlist("a")) == 3
    with pytest.raises(RequestEntityTooLarge):
        assert request_of(three, most_parts=2).form
    long = field("a", b"1" * 300_000)
    assert request_of(long + b"--x--").form["a"] == "1" * 300_000
    with pytest.raises(RequestEntityTooLarge):
        assert request_of(long + long + b"--x--").form


def test_an_image_at_an_edge_is_stored_as_it_was_sent(api: Api):
    small = pictures.encoded(pictures.gray())
    boundary = b"x"
    # So that the edge lies between the two hyphens of the last boundary.
    size = EDGE - len(HEAD) - len(b"\r\n--x-")
    image = small + b"\0" * (size - len(small))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = api.request("POST", "/v1/jobs", body=form_of(image, boundary, b"--\r\n"), headers=headers)
    job = answer.json()
    assert job["result"] is None
    assert api.request("GET", f"/v1/jobs/{job['id']}/image").data == image
