from http.server import BaseHTTPRequestHandler, HTTPServer
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
