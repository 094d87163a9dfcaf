"""A collector of traces: an HTTP server that decodes what comes by OTLP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Listener:
    """What has arrived at an HTTP server: headers with small letters, and bodies."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: Event = field(default_factory=Event)
    """Requests are answered once this is set."""

    def exports(self) -> list[ExportTraceServiceRequest]:
        """Every message of spans."""
        return [ExportTraceServiceRequest.FromString(body) for _, body in list(self.requests)]

    def spans(self) -> list[tuple[str, Span]]:
        """Every span, behind the name of its service."""
        return [
            (attributes(resource.resource)["service.name"], span)
            for export in self.exports()
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(of: object) -> dict[str, object]:
    """The attributes of a span or a resource."""
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value"))
        for one in of.attributes  # type: ignore[attr-defined]
    }


@contextmanager
def listening(answers: bool = True) -> Iterator[Listener]:
    """A server that keeps what is posted to it, and answers 200 at once or once `answers` is set."""
    listener, lock = Listener(), Lock()
    if answers:
        listener.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                listener.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
            listener.answers.wait()
            self.send_response_only(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield listener
    finally:
        listener.answers.set()
        server.shutdown()
        server.server_close()
