"""A scene in three.js, in Chromium: its size, what is hidden by name, and that no side is mirrored."""

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests import pictures
from tests.api.ar.conftest import radiograph, scene, succeeded
from tests.api.ar.peers import NPM, needs_npm
from tests.api.ar.test_scale import each_case, size_m
from tests.api.conftest import ROOT, Api
from tests.browser import watched_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = needs_npm("three")
SIDE = 800
SPAN = 0.08
"""Metres from edge to edge of the picture: each of its pixels is a tenth of a millimetre."""
STARTED_WITHIN = 60_000
"""Milliseconds in which three.js is loaded and WebGL started, on the CPU of a busy machine."""
TYPES = {"html": "text/html", "js": "text/javascript", "glb": "model/gltf-binary"}
Draw = Callable[..., tuple[dict[str, Any], np.ndarray]]


@pytest.fixture
def draw(browser: "Browser") -> Iterator[Draw]:
    """Draw a GLB: the bounds of each group in metres, and the picture as (800, 800, 3)."""
    glb = b""

    def answer(route: "Route") -> None:
        path = urlsplit(route.request.url).path
        own = {"/": ROOT / "tests/peers/scene.html"}.get(path, NPM / path[1:])
        body = glb if path == "/scene.glb" else own.read_bytes()
        kind = TYPES["html" if path == "/" else path.rpartition(".")[2]]
        route.fulfill(body=body, content_type=kind)

    with watched_page(browser, "http://scene.test", viewport={"width": SIDE, "height": SIDE}) as page:
        page.route("http://scene.test/**", answer)
        page.goto("/")
        page.wait_for_function("() => Boolean(window.draw)", timeout=STARTED_WITHIN)

        def drawn(data: bytes, **options: Any) -> tuple[dict[str, Any], np.ndarray]:
            nonlocal glb
            glb = data
            bounds = page.evaluate("options => draw(options)", {"span": SPAN, **options})
            return bounds, shown(page)

        yield drawn


def shown(page: "Page") -> np.ndarray:
    with Image.open(io.BytesIO(page.locator("canvas").screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))


def side_marked() -> np.ndarray:
    """A picture (96, 128) with a bright L-shaped mark in its upper left corner: no turn of it looks alike."""
    gray = pictures.gray() // 4
    gray[8:32, 8:14], gray[26:32, 8:26] = 255, 255
    return gray


@each_case
def test_three_js_reads_the_true_size(api: Api, draw: Draw, attributes: dict, spacing: list, plane: str):
    bounds, _ = draw(scene(api, succeeded(api, radiograph(**attributes))).data)
    low, high = map(np.array, bounds["radiograph"])
    assert np.abs(high - low - size_m(spacing)).max() < 1e-6
    assert np.abs(high + low).max() < 1e-6
    assert bounds["regions"][0][2] == pytest.approx(0.001)


def test_the_ruler_spans_50_mm_and_the_picture_its_pixels(api: Api, draw: Draw):
    data = scene(api, succeeded(api, radiograph(ImagerPixelSpacing=[0.3, 0.3]))).data
    bounds, whole = draw(data)
    without, bare = draw(data, hidden=["ruler"])[1], draw(data, hidden=["ruler", "regions", "radiograph"])[1]
    low, high = bounds["ruler"]
    changed = np.abs(whole.astype(int) - without).max(axis=2) > 8
    columns = np.flatnonzero(changed.any(axis=0))
    # A tick is 0.2 mm wide, so the ruler is 50 mm from the middle of its first one to that of its last.
    assert abs(columns[-1] - columns[0] + 1 - 502) <= 1
    assert high[0] - low[0] == pytest.approx(0.0502)
    picture = np.abs(without.astype(int) - bare).max(axis=2) > 8
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    assert abs(columns[-1] - columns[0] + 1 - 384) <= 1
    assert abs(rows[-1] - rows[0] + 1 - 288) <= 1


def test_left_is_left_and_top_is_top(api: Api, draw: Draw):
    image = pictures.dicom(side_marked(), ImagerPixelSpacing=[0.3, 0.3])
    result = {"finding": "no_fracture", "probability": 0.02, "regions": []}
    job = succeeded(api, image, result)
    _, drawn = draw(scene(api, job).data, hidden=["ruler"])
    with Image.open(io.BytesIO(api.request("GET", f"/v1/jobs/{job.id}/heatmap").data)) as overlay:
        wanted = np.asarray(overlay.convert("L").resize((384, 288), Image.Resampling.BILINEAR), float)
    found = np.asarray(Image.fromarray(drawn).convert("L"), float)[256:544, 208:592]
    turns = {"as it is": wanted, "mirrored": wanted[:, ::-1], "upside down": wanted[::-1]}
    likeness = {name: np.corrcoef(found.ravel(), turned.ravel())[0, 1] for name, turned in turns.items()}
    assert likeness["as it is"] > 0.98
    assert max(likeness["mirrored"], likeness["upside down"]) < 0.9, likeness


def test_the_frames_stand_around_their_regions(api: Api, draw: Draw):
    data = scene(api, succeeded(api, radiograph(ImagerPixelSpacing=[0.3, 0.3]))).data
    with_frames, without = draw(data)[1], draw(data, hidden=["regions"])[1]
    changed = np.abs(with_frames.astype(int) - without).max(axis=2) > 8
    # The first region: 30 x 40 pixels of 0.3 mm at (10, 20), its line outside of it.
    left, top, right, bottom = 208 + 30, 256 + 60, 208 + 120, 256 + 180
    assert not changed[top + 1 : bottom - 1, left + 1 : right - 1].any()
    assert changed[top:bottom, left - 3].all()
    assert changed[top:bottom, right + 2].all()
    assert not changed[top:bottom, left - 8].any()


def test_from_behind_the_plane_says_that_it_is_the_back(api: Api, draw: Draw):
    data = scene(api, succeeded(api, radiograph(ImagerPixelSpacing=[0.3, 0.3]))).data
    behind, without = draw(data, behind=True)[1], draw(data, behind=True, hidden=["back"])[1]
    assert np.abs(behind.astype(int) - without)[256:544, 208:592].mean() > 10
    # The picture itself has one side: nothing of it, and so no mirrored anatomy, is seen from behind.
    assert (without[300:500, 300:500] == without[300, 300]).all()
