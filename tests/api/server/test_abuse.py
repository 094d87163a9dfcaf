"""Sends malicious requests byte by byte: each is refused, and the API continues."""

import socket
import time

import pytest

from tests.api.conftest import Api
from tests.api.routes.test_jobs import PNG

FORGED = "FORGED-LINE"
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
END = b"\r\n--x--\r\n"


def form(body: bytes, boundary: str = "x", more: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n"
    return f"Content-Type: multipart/form-data; boundary={boundary}\r\n{length}{more}\r\n".encode() + body


def exchange(api: Api, request: bytes, seconds: float = 30) -> bytes:
    """Send these bytes, and return the answer up to the end of the connection."""
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), seconds) as line:
        try:
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))
        except (ConnectionResetError, BrokenPipeError):
            return b""  # refused before it was read to its end


def post(api: Api, rest: bytes) -> bytes:
    start = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: osteo\r\nConnection: close\r\nAuthorization: Bearer {api.key}\r\n"
    )
    return exchange(api, start.encode() + rest)


FIELD = b'--x\r\nContent-Disposition: form-data; name="reference"\r\n'
ABUSES = {
    "a header of 100 KB": b"X-Long: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "500 headers": b"".join(b"X-%d: y\r\n" % number for number in range(500)) + b"Content-Length: 0\r\n\r\n",
    "a header with NUL": b"X-Nul: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a header name with a space": b"Content Length: 5\r\n\r\nhello",
    "a folded header": b"X-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a negative length": b"Content-Length: -5\r\n\r\nhello",
    "a length that is no number": b"Content-Length: five\r\n\r\nhello",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of a size that is no number": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "an unknown transfer encoding": b"Transfer-Encoding: gzip\r\n\r\nhello",
    "an encoded body": b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "a second key": b"Authorization: Bearer osteo_" + b"A" * 43 + b"\r\nContent-Length: 0\r\n\r\n",
    "a body that ends early": b"Content-Type: image/png\r\nContent-Length: 5000\r\n\r\n" + PNG[:100],
    "a form without its end": form(PART + PNG[:200]),
    "a form of nothing but its end": form(END),
    "a boundary of 10 KB": form(PART + PNG + END, "x" * 10_000),
    "an empty boundary": form(PART + PNG + END, ""),
    "a part header of 1 MB": form(b"--x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n" + PNG + END),
    "a part header without end": form(b"--x\r\n" + b"a" * 300_000),
    "a part without a name": form(b"--x\r\nContent-Disposition: form-data\r\n\r\n" + PNG + END),
    "a form within a form": form(b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n" + END),
    "10,000 parts": form((b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n') * 5_000 + END),
    "a field twice, of unknown charset": form(
        (FIELD + b"Content-Type: text/plain; charset=no-such\r\n\r\nR\r\n") * 2 + PART + PNG + END
    ),
    "a field that is no UTF-8": form(
        b'--x\r\nContent-Disposition: form-data; name="colour"\r\n\r\n\xff\xfe\r\n' + PART + PNG + END
    ),
}


@pytest.mark.parametrize("name", ABUSES)
def test_abuse_is_refused_and_leaves_no_trace(api: Api, name: str):
    before = api.traces()
    answer = post(api, ABUSES[name])
    assert not answer or b"400" <= answer[9:12] <= b"499" or answer[9:12] == b"501", answer[:300]
    assert b"Traceback" not in answer
    assert api.traces() == before
    assert api.request("GET", "/health/live", key="").status == 200


def test_a_smuggled_request_is_not_answered(api: Api):
    inner = b"GET /openapi.json HTTP/1.1\r\nHost: osteo\r\n\r\n"
    rest = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner
    assert post(api, rest).count(b"HTTP/1.1") <= 1


def test_a_request_cannot_write_a_line_of_its_own_into_the_log(api: Api):
    line = f"\r\n{FORGED}"
    quoted = f"%0D%0A{FORGED}"
    name = PART.replace(b"x.png", f"{quoted}.png".encode())
    post(api, form(name + PNG + END, more=f"User-Agent: {FORGED}\r\ntraceparent: {quoted}\r\n"))
    api.request("GET", f"/v1/jobs/{quoted}?state={quoted}")
    api.request("GET", f"/v1/jobs?state={quoted}&{quoted}=1", key=f"osteo_{quoted}")
    api.submit(PNG, reference=line, priority=line)
    lines = api.log.read_text().splitlines()
    assert not [text for text in lines if text.lstrip().startswith(FORGED)]
    assert not [text for text in lines if FORGED in text and "%0D%0A" not in text]
    assert api.key not in api.log.read_text()


def test_clients_that_send_slowly_do_not_hold_up_others(api: Api):
    host, port = api.url.removeprefix("http://").split(":")
    half = f"POST /v1/jobs HTTP/1.1\r\nHost: osteo\r\nAuthorization: Bearer {api.key}\r\nX-Slow: ".encode()
    slow = [socket.create_connection((host, int(port)), 10) for _ in range(10)]
    try:
        for line in slow:
            line.sendall(half)
        time.sleep(0.2)  # so that each is being read
        assert api.submit(PNG).status == 202
    finally:
        for line in slow:
            line.close()
