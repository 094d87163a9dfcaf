"""Measures how soon the viewer shows 12 megapixels, against the same browser that only fetches them."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import urllib3
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from tqdm import tqdm

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.service import ServiceClient, stores_alone
from stack.development import prepare
from stack.parts import web
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROWS, COLUMNS = 4000, 3000
ROUNDS = 5
NOTE = """
new MutationObserver(() => {
    if (document.querySelector(".viewer.full")) window.fullAt ??= performance.now();
}).observe(document, {subtree: true, attributes: true});
document.addEventListener("load", ({target}) => {
    if (target.matches?.("img")) window.previewAt ??= performance.now();
}, true);
"""
"""Notes in the page when the preview is there and when all bits are, in milliseconds after the navigation."""
ALONE = b"""<!doctype html><img src=preview.jpg><script>fetch("pixels").then(answer => answer.arrayBuffer())
    .then(() => { window.fullAt = performance.now(); });</script>"""
"""Fetches the same bytes, and paints none but the preview."""


def measure() -> list[BenchmarkFigure]:
    """Measure this group; the page and the bytes alone are opened in turn."""
    with stores_alone() as service, chromium() as browser:
        service.begin([web(service.settings, service.addresses)])
        given = service.folder, service.addresses, service.settings
        service.secrets = prepare(service.secrets, *given)
        job_id, api = ServiceClient(service).submit(radiograph()), service.addresses.api
        headers = {"Authorization": f"Bearer {service.secrets.api_key}", "Accept-Encoding": "zstd"}
        body, seconds = _pixels(f"{api}/v1/jobs/{job_id}/pixels", headers)
        page = browser.new_page()
        page.add_init_script(NOTE)
        page.goto(f"{api}/read")
        page.get_by_label("Reader key").fill(str(service.secrets.reader_key))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Worklist").wait_for()
        preview = page.request.get(f"{api}/read/{job_id}/preview.jpg").body()
        with _alone({"/": ALONE, "/pixels": body, "/preview.jpg": preview}) as bare:
            opened, fetched = [], []
            for _ in tqdm(range(ROUNDS + 1), "opening"):
                opened.append(_opened(page, f"{api}/read/{job_id}"))
                fetched.append(_opened(page, bare))
    # The first round finds no script in the cache.
    seen, shown, floor, floor_shown = (
        median(at[place] for at in times[1:])
        for times, place in ((opened, 0), (opened, 1), (fetched, 0), (fetched, 1))
    )
    return [
        figure("viewer: 12 megapixels, until the preview is shown", seen, "s", floor),
        figure("viewer: 12 megapixels, until all bits are shown", shown, "s", at_most=1.0),
        figure("viewer: 12 megapixels, against fetching the same bytes", shown, "s", floor_shown),
        figure("viewer: 12 megapixels, the pixels from the API", seconds, "s", shown),
        figure("viewer: 12 megapixels, bytes on the way", len(body) / 1e6, "MB", 2 * ROWS * COLUMNS / 1e6),
    ]


def radiograph() -> bytes:
    """Draw a radiograph of 12 bits with noise, as DICOM without compression."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS] / ROWS
    bone = 1500 * np.exp(-(((x - 0.4 + 0.1 * y) / 0.06) ** 4)) + 900 * np.exp(-(((x - 0.38) / 0.25) ** 4))
    noise = np.random.default_rng(5).normal(0, 18, (ROWS, COLUMNS))
    pixels = np.clip(300 + bone + noise, 0, 4095).astype("<u2")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = pixels.tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def _pixels(address: str, headers: dict[str, str]) -> tuple[bytes, float]:
    """Fetch the compressed pixels; the median time with them."""
    body, times = b"", []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        body = urllib3.request("GET", address, headers=headers, decode_content=False, timeout=60).data
        times.append(time.perf_counter() - began)
    return body, median(times)


def _opened(page: "Page", address: str) -> tuple[float, float]:
    """Open a page; the seconds until its preview and all its bits are there."""
    page.goto(address)
    page.wait_for_function("() => window.fullAt && window.previewAt", timeout=120_000)
    preview, full = page.evaluate("() => [window.previewAt, window.fullAt]")
    return preview / 1000, full / 1000


@contextmanager
def _alone(files: dict[str, bytes]) -> Iterator[str]:
    """Serve these files from memory; the pixels are compressed already."""

    class Files(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = files.get(self.path, b"")
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path == "/" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            if self.path == "/pixels":
                self.send_header("Content-Encoding", "zstd")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no line for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
