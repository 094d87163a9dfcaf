import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from jobs.record.errors import StoreRefused, StoreUnavailable
from jobs.store.objects import Objects


def test_a_put_sends_its_body_without_an_expect_header(settings):
    asked: list[str | None] = []
    stored: list[bytes] = []

    class Store(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            asked.append(self.headers["Expect"])
            stored.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Store) as store:
        Thread(target=store.serve_forever, daemon=True).start()
        Objects.connect(f"http://127.0.0.1:{store.server_port}", "osteo").put("key", b"radiograph")
        store.shutdown()
    assert stored == [b"radiograph"]
    assert asked == [None]


def test_a_connection_forgets_what_the_server_does_not_acknowledge(settings):
    class Store(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as store:
        store.daemon_threads = True
        Thread(target=store.serve_forever, daemon=True).start()
        objects = Objects.connect(f"http://127.0.0.1:{store.server_port}", "osteo")
        objects.exists("key")
        limits = list(limits_to(store.server_port))
        objects.close()
        store.shutdown()
    # Else a write that was given up arrives once a network is mended, when its lock has long ended.
    assert limits
    assert all(0 < limit <= 5000 for limit in limits)


def limits_to(port: int) -> Iterator[int]:
    """For how many milliseconds each connection of this process to a port sends anything again."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # The file is closed by now, or is no connection.
            if stat.S_ISSOCK(os.stat(f"/proc/self/fd/{name}").st_mode):
                with socket.socket(fileno=os.dup(int(name))) as found:
                    if found.family == socket.AF_INET and found.getpeername()[1] == port:
                        yield found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, "<Error><Code>EntityTooLarge</Code></Error>", StoreRefused),
        (413, "a page of a proxy's own", StoreRefused),
        (403, "<Error><Code>AccessDenied</Code></Error>", StoreUnavailable),
        (400, "<Error><Code>RequestTimeout</Code></Error>", StoreUnavailable),
        (507, "<Error><Code>InsufficientStorage</Code></Error>", StoreUnavailable),
    ],
)
def test_a_final_refusal_of_the_store_is_told_from_a_passing_one(settings, status, body, error):
    class Store(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Store) as store:
        Thread(target=store.serve_forever, daemon=True).start()
        with pytest.raises(error):
            Objects.connect(f"http://127.0.0.1:{store.server_port}", "osteo").put_new("key", b"record")
        store.shutdown()


def test_keys_follows_all_pages_and_raises_where_one_fails():
    tokens: list[str | None] = []
    page = "<ListBucketResult><Contents><Key>{}</Key></Contents>{}</ListBucketResult>"
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>"
    answers = {
        None: (200, page.format("a", more.format("second"))),
        "second": (200, page.format("b", more.format("third"))),
        "third": (403, "<Error><Code>AccessDenied</Code></Error>"),
    }

    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            tokens.append(query.get("continuation-token", [None])[0])
            status, body = answers[tokens[-1]]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Store) as store:
        Thread(target=store.serve_forever, daemon=True).start()
        keys = Objects.connect(f"http://127.0.0.1:{store.server_port}", "osteo").keys("")
        assert [next(keys), next(keys)] == ["a", "b"]
        with pytest.raises(StoreUnavailable):
            next(keys)
        store.shutdown()
    assert tokens == [None, "second", "third"]
