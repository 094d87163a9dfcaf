from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from jobs.objects import Objects


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
