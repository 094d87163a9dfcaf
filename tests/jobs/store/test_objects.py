from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from jobs.record.errors import StoreRefused, StoreUnavailable
from jobs.store.objects import Objects


def test_what_is_put_goes_out_without_asking_first(settings):
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
def test_what_a_store_will_never_take_is_told_from_what_it_may(settings, status, body, error):
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
