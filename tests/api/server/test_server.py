"""Tests that no connection holds up another: idle ones, half-sent bodies, clients that do not read."""

import json
import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin.keys import Keys
from tests import pictures
from tests.api.conftest import Api, serving
from tests.conftest import await_that

PNG = pictures.encoded(pictures.gray())
LARGE = 8_000_000
PATIENCE = 30


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: osteo", *lines, "", ""]).encode() + body


def submission(api: Api, length: int, *lines: str, body: bytes = b"") -> bytes:
    key = f"Authorization: Bearer {api.key}"
    return request("POST", "/v1/jobs", key, f"Content-Length: {length}", *lines, body=body)


def connect(api: Api, sent: bytes, receive_buffer: int = 0) -> socket.socket:
    host, port = api.url.removeprefix("http://").split(":")
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect((host, int(port)))
    sock.sendall(sent)
    return sock


@contextmanager
def connections(api: Api, number: int, sent: bytes, receive_buffer: int = 0) -> Iterator[list[socket.socket]]:
    opened = [connect(api, sent, receive_buffer) for _ in range(number)]
    try:
        yield opened
    finally:
        for sock in opened:
            sock.close()


def all_of(sock: socket.socket) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(65536), b""))


def memory(process) -> int:
    """Return the kilobytes of private memory of gunicorn's processes."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    texts = [Path(f"/proc/{child}/status").read_text() for child in children]
    return sum(int(text.partition("RssAnon:")[2].split()[0]) for text in texts)


def test_idle_sockets_and_half_sent_bodies_do_not_hold_up_others(api: Api):
    other = Keys(api.ledger.records).create("other")
    half = PNG[:20]
    with (
        connections(api, 200, request("GET", "/health/live", "Connection: close")),
        connections(api, 200, request("POST", "/v1/jobs", "Content-Length: 5000", body=half)),
        connections(api, 200, submission(api, len(PNG) + 1, body=half)) as halves,
    ):
        for _ in range(3):
            # Each has the patience of one request; the sockets, one after the other, would take 200 s.
            assert api.request("GET", "/health/live", key="").status == 200
            assert api.request("POST", "/v1/jobs", key=other, body=PNG).status == 202
        for sock in halves[:40]:
            sock.sendall(PNG[20:])
            sock.shutdown(socket.SHUT_WR)
        assert {all_of(sock)[9:12] for sock in halves[:40]} == {b"400"}


def test_heads_that_are_sent_slowly_take_no_thread(api: Api):
    with connections(api, 1000, b"GET /health/live HTTP/1.1\r\nX-Slow: "):
        assert api.submit(PNG).status == 202


def test_a_body_that_takes_too_long_is_refused(tight):
    api, _ = tight
    answer = all_of(connect(api, submission(api, len(PNG), body=PNG[:20])))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in answer
    assert b"application/problem+json" in answer
    whole = connect(api, submission(api, len(PNG), "Connection: close"))
    whole.sendall(PNG[:20])
    whole.sendall(PNG[20:])
    assert all_of(whole).startswith(b"HTTP/1.1 202")


def test_a_body_shorter_than_its_length_is_refused_and_a_complete_one_not(api: Api):
    key = "Idempotency-Key: one-that-was-cut"
    sock = connect(api, submission(api, len(PNG) + 10, key, body=PNG))
    sock.shutdown(socket.SHUT_WR)
    assert all_of(sock).startswith(b"HTTP/1.1 400")
    answer = api.request("POST", "/v1/jobs", body=PNG + b"\0" * 10, headers={"Idempotency-Key": key[17:]})
    assert answer.status == 202


@pytest.mark.parametrize(("key", "length"), [("wrong", 100_000), ("wrong", 900_000), (None, 900_000)])
def test_an_answer_before_the_end_of_the_body_arrives_and_closes(api: Api, key: str | None, length: int):
    bearer = f"Authorization: Bearer {key or api.key}"
    sock = connect(api, request("POST", "/v1/jobs", bearer, f"Content-Length: {length}", body=bytes(length)))
    answer = all_of(sock)
    assert answer.startswith(b"HTTP/1.1 401" if key else b"HTTP/1.1 413")
    assert b"\r\nConnection: close\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]


def test_a_body_is_continued_only_if_it_will_be_read(api: Api):
    expecting = "Expect: 100-continue"
    refused = connect(api, request("POST", "/v1/jobs", expecting, "Content-Length: 5000"))
    assert all_of(refused).startswith(b"HTTP/1.1 401")
    taken = connect(api, submission(api, len(PNG), expecting, "Connection: close"))
    assert taken.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    taken.sendall(PNG)
    assert all_of(taken).startswith(b"HTTP/1.1 202")


def test_a_client_that_resets_before_its_body_leaves_no_connection_behind(tight):
    api, process = tight
    head = request("POST", "/read/sign-in", "Expect: 100-continue", "Content-Length: 10")
    assert api.request("GET", "/health/live", key="").status == 200
    before = descriptors(process)
    for number in range(400):
        sock = connect(api, head)
        # The reset comes while the server looks at who may send this, in one case or another.
        time.sleep(number % 40 / 20_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    # A process opens its connections to Redis and its files of metrics with its first requests: some twelve.
    # Connections that stay behind fill both processes: 60.
    await_that(lambda: descriptors(process) <= before + 20, lambda: f"{descriptors(process)} of {before}")


def descriptors(process) -> int:
    """Return how many files and sockets gunicorn's processes have open."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sum(len(list(Path(f"/proc/{child}/fd").iterdir())) for child in children)


def test_requests_that_come_at_once_are_answered_in_their_order(api: Api):
    first, second = submission(api, len(PNG), body=PNG), request("GET", "/health/live", "Connection: close")
    answer = all_of(connect(api, first + second))
    assert answer.count(b"HTTP/1.1 202") == 1
    assert answer.index(b"HTTP/1.1 202") < answer.index(b"HTTP/1.1 200")


def test_a_body_in_chunks_is_accepted_unless_it_is_incomplete(api: Api):
    key, chunked = f"Authorization: Bearer {api.key}", "Transfer-Encoding: chunked"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (PNG[:50], PNG[50:]))
    for end, status in ((b"0\r\n\r\n", b"202"), (b"", b"400")):
        sock = connect(api, request("POST", "/v1/jobs", key, chunked, "Connection: close", body=chunks + end))
        sock.shutdown(socket.SHUT_WR)
        assert all_of(sock)[9:12] == status


def test_a_form_in_chunks_is_told_that_it_has_too_many_fields(api: Api):
    fields = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nv\r\n' % number for number in range(25)
    )
    form = fields + b"--x--\r\n"
    head = request(
        "POST",
        "/v1/jobs",
        f"Authorization: Bearer {api.key}",
        "Content-Type: multipart/form-data; boundary=x",
        "Transfer-Encoding: chunked",
        "Connection: close",
        body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(form), form),
    )
    answer = all_of(connect(api, head))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"too many fields" in answer


def test_idle_connections_are_closed_when_there_are_too_many(tight):
    api, _ = tight
    with connections(api, 200, b""):
        assert api.request("POST", "/v1/jobs", body=PNG).status == 202


@pytest.fixture(scope="module")
def tight(servers, tmp_path_factory):
    """A server of large images, with few connections and little time for a body."""
    folder = tmp_path_factory.mktemp("tight")
    few = ("--worker-connections", "30")
    with serving(servers, folder, *few, processes=2, max_bytes=LARGE, body_seconds=8) as served:
        yield served


@pytest.fixture(scope="module")
def large(tight):
    api, process = tight
    image = PNG + random.Random(1).randbytes(LARGE - len(PNG))
    job = api.request("POST", "/v1/jobs", body=image).json()
    return api, process, image, f"/v1/jobs/{job['id']}/image"


def test_clients_that_do_not_read_keep_no_images_in_memory(large):
    api, process, image, path = large
    get = request("GET", path, f"Authorization: Bearer {api.key}")
    assert api.request("GET", path).data == image
    before = memory(process)
    with connections(api, 24, get, receive_buffer=4096) as readers:
        # All of them are served as far as they read: each has its head.
        assert all(sock.recv(12) == b"HTTP/1.1 200" for sock in readers)
        assert api.submit(PNG).status == 202
        assert (memory(process) - before) * 1024 < 24 * LARGE / 4


def test_a_slow_reader_gets_the_whole_answer(large):
    api, _, image, path = large
    sock = connect(api, request("GET", path, f"Authorization: Bearer {api.key}", "Connection: close"), 4096)
    head = sock.recv(2000)
    time.sleep(0.5)  # Long enough for every buffer between the two to be full.
    body = head.partition(b"\r\n\r\n")[2] + all_of(sock)
    assert f"Content-Length: {LARGE}".encode() in head
    assert body == image
