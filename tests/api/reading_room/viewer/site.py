"""A site of viewers alone: the files of the reading room, and radiographs that numpy makes.

It has the addresses and the content policy of the real pages, and none of their services.
"""

import gzip
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from api.reading_room import words
from api.reading_room.static_files import body_of

ROOM = Path(__file__).parents[4] / "api" / "reading_room"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
TYPES = {".js": "text/javascript", ".css": "text/css"}
PAGE = """{% extends "base.html" %}{% block title %}A radiograph{% endblock %}
{% block head %}<link rel="stylesheet" href="{{ room }}/static/viewer.css">{% endblock %}
{% block scripts %}<script type="module" src="{{ room }}/static/viewer.js"></script>{% endblock %}
{% block main %}<h1>A radiograph</h1>
{% if views|length > 1 %}<div class="viewers">{% endif %}
{% for view in views %}{% include "_viewer.html" %}{% endfor %}
{% if views|length > 1 %}</div>{% endif %}
<form><label>Text of the report <input name="text"></label></form>
<a rel="next" href="#next">Next</a>{% include "_viewer_keys.html" %}{% endblock %}"""
ANSWER: dict[str, Any] = {
    "finding": "fracture",
    "probability": 0.873,
    "regions": [
        {"box": [250, 280, 120, 90], "score": 0.81},
        {"box": [120, 150, 80, 60], "score": 0.4},
        {"box": [20, 20, 30, 30], "score": 0.05},
    ],
    "warnings": [{"type": "low-contrast", "detail": "The X-ray has little contrast. Expose it longer."}],
    "model": {"name": "osteo", "version": "1.4.0", "sha256": "0" * 64},
    "operating_points": [
        {"name": "low", "threshold": 0.21, "meaning": "Below this probability the finding is no fracture."},
        {"name": "high", "threshold": 0.64, "meaning": "From this probability on it is a fracture."},
    ],
}


def bones(rows: int, columns: int) -> np.ndarray:
    """Two synthetic long bones with a break, of 12 bits, uint16 (rows, columns)."""
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    tilt = x - 0.12 * (y - 0.4)
    flesh = 900 * np.exp(-(((tilt - 0.38) / 0.22) ** 4))
    shafts = sum(
        1500 * np.exp(-(((tilt - at) / width) ** 4)) - 600 * np.exp(-(((tilt - at) / (width * 0.55)) ** 4))
        for at, width in ((0.30, 0.055), (0.47, 0.045))
    )
    crack = 900 * np.exp(-(((y - 0.5 - 0.3 * (x - 0.46)) / 0.004) ** 2)) * (abs(tilt - 0.47) < 0.05)
    noise = np.random.default_rng(3).normal(0, 18, (rows, columns))
    return np.clip(300 + flesh + shafts - crack + noise, 0, 4095).astype(np.uint16)


_HIDDEN = b'{"type": "answer-hidden", "detail": "The model\'s answer is hidden until you commit a finding."}'


@dataclass(frozen=True)
class Radiograph:
    """A radiograph as its addresses serve it; `answer` None is hidden, as in a blind reading."""

    pixels: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] | None = field(default_factory=lambda: ANSWER)

    def header(self) -> dict[str, Any]:
        rows, columns = self.pixels.shape
        return {
            "rows": rows,
            "columns": columns,
            "bits": 16,
            "min": int(self.pixels.min()),
            "max": int(self.pixels.max()),
            "photometric": "MONOCHROME2",
            "window": [1200, 2400],
            "voi": "LINEAR",
            "spacing_mm": [0.143, 0.143],
            "spacing_plane": "detector",
            "orientation": "L\\F",
            "laterality": "L",
            **self.info,
        }

    def preview(self) -> bytes:
        gray = np.clip(self.pixels / max(1, self.pixels.max()) * 255, 0, 255).astype(np.uint8)
        picture = Image.fromarray(gray)
        picture.thumbnail((1024, 1024))
        file = io.BytesIO()
        picture.save(file, "JPEG")
        return file.getvalue()

    def heat(self) -> bytes:
        rows, columns = self.pixels.shape
        y, x = np.mgrid[0:64, 0:64] / 64
        alpha = 255 * np.exp(-((x - 310 / columns) ** 2 + (y - 325 / rows) ** 2) / 0.01)
        file = io.BytesIO()
        colour = np.dstack([np.full((64, 64), 255), np.full((64, 64), 90), np.zeros((64, 64)), alpha])
        Image.fromarray(colour.astype(np.uint8)).save(file, "PNG")
        return file.getvalue()


@dataclass
class Site:
    """The address of the site, and its radiographs by id, which a test may change."""

    url: str
    radiographs: dict[str, Radiograph]
    asked: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    """While it is not set, the pixels wait."""

    def put(self, name: str, pixels: np.ndarray | None = None, **changes: Any) -> str:
        """Serve a radiograph; the path of its page."""
        answer = {"answer": changes.pop("answer")} if "answer" in changes else {}
        made = Radiograph(bones(640, 512) if pixels is None else pixels, changes)
        self.radiographs[name] = replace(made, **answer)
        return f"/read/{name}"

    def page(self, names: str) -> str:
        views = [self._view(name, n, names.count("+")) for n, name in enumerate(names.split("+"), 1)]
        environment = Environment(loader=FileSystemLoader(ROOM / "templates"), autoescape=True)
        return environment.from_string(PAGE).render(views=views, room="/read", words=words)

    def _view(self, name: str, number: int, others: int) -> dict[str, Any]:
        radiograph = self.radiographs[name]
        rows, columns = radiograph.pixels.shape
        at = f"/read/{name}"
        return {
            "id": f"view-{number}",
            "title": f"View {number}",
            "columns": columns,
            "rows": rows,
            "pixels": f"{at}/pixels",
            "preview": f"{at}/preview.jpg",
            "answer": f"{at}/answer",
            "heat": f"{at}/heat.png",
            "facts": [("Format", "DICOM"), ("Side", radiograph.header()["laterality"] or "unknown")],
            "result": radiograph.answer,
            "page": at,
            "scale": {"tag": "", "text": "", "info": {}, "ends": None},
            "lock": others > 0,
            "sites": True,
        }


@contextmanager
def viewer_site() -> Iterator[Site]:
    """Serve pages with viewers on a free port: /read/NAME, or /read/NAME+NAME for two of them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append(self.path)
            status, kind, body, headers = self._found(self.path.partition("?")[0])
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "Content-Security-Policy": POLICY,
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cache-Control": "no-store",
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _found(self, path: str) -> tuple[int, str, bytes, dict[str, str]]:
            if path.startswith("/read/static/"):
                file = ROOM / "static" / Path(path).name
                return 200, TYPES[file.suffix], body_of(file), {}
            name, _, part = path.removeprefix("/read/").partition("/")
            if not part:
                return 200, "text/html", site.page(name).encode(), {}
            radiograph = site.radiographs[name]
            if part == "pixels":
                site.held.wait(30)
                described = {"Osteo-Pixels": json.dumps(radiograph.header()), "Content-Encoding": "gzip"}
                body = gzip.compress(radiograph.pixels.astype("<u2").tobytes(), 1)
                return 200, "application/octet-stream", body, described
            if part == "preview.jpg":
                return 200, "image/jpeg", radiograph.preview(), {}
            if radiograph.answer is None:
                return 403, "application/problem+json", _HIDDEN, {}
            if part == "heat.png":
                return 200, "image/png", radiograph.heat(), {}
            return 200, "application/json", json.dumps(radiograph.answer).encode(), {}

        def log_message(self, *_: object) -> None:
            """Write no line for each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}", {})
    site.held.set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
