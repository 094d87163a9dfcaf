"""Tests that an image is stored as it was sent, wherever the pieces of the form end."""

import io

import pytest

from api.http.multipart_form import FormRequest, Uncut
from tests import pictures
from tests.api.conftest import Api

EDGE = 64 * 1024
"""Bytes that werkzeug reads at a time."""
HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'


def form_of(image: bytes, boundary: bytes, end: bytes) -> bytes:
    return HEAD.replace(b"--x", b"--" + boundary) + image + b"\r\n--" + boundary + end


def read_back(body: bytes, boundary: bytes) -> bytes:
    environ = {
        "wsgi.input": io.BytesIO(body),
        "REQUEST_METHOD": "POST",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": f"multipart/form-data; boundary={boundary.decode()}",
    }
    return FormRequest(environ).files["image"].read()


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


def test_a_run_of_carriage_returns_is_read_in_pieces_of_a_bounded_size():
    image = b"\r" * (20 * EDGE) + b"\r\n--"
    pieces, stream = [], Uncut(io.BytesIO(form_of(image, b"x", b"--\r\n")), b"x")
    while piece := stream.read(EDGE):
        pieces.append(piece)
    assert b"".join(pieces) == form_of(image, b"x", b"--\r\n")
    assert max(map(len, pieces)) < EDGE + 100
    assert read_back(form_of(image, b"x", b"--\r\n"), b"x") == image


def test_a_field_without_a_body_does_not_take_the_part_behind_it():
    """RFC 2046, 5.1.1: of a part without a body only the headers stand before the next boundary."""
    bare = b'--x\r\nContent-Disposition: form-data; name="reference"\r\n\r\n'
    assert read_back(bare + form_of(b"image", b"x", b"--\r\n"), b"x") == b"image"


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
