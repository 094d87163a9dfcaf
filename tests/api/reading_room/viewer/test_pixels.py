"""The viewer's pictures against numpy and Pillow: on the GPU, and by the canvas where there is no WebGL."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.api.reading_room.viewer.conftest import Pages
from tests.api.reading_room.viewer.site import Site, bones

if TYPE_CHECKING:
    from playwright.sync_api import Page

RAMP = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
NO_WEBGL = """const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    return kind === "webgl2" ? null : real.call(this, kind, ...rest);
};"""
PAINTED = """async steps => {
    const {viewers} = await import("/read/static/viewer.js");
    const [viewer] = viewers.values();
    return steps.map(({window, scale, actions}) => {
        if (window) viewer.window = window;
        for (const action of actions ?? []) viewer.act(action);
        if (scale) {
            viewer.geometry.fit();
            viewer.geometry.zoom(scale / viewer.geometry.scale);
        }
        viewer.draw();
        const canvas = viewer.part("canvas");
        const {width, height} = canvas;
        const gl = canvas.getContext("webgl2");
        const bytes = new Uint8Array(width * height * 4);
        if (gl) gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
        else bytes.set(canvas.getContext("2d").getImageData(0, 0, width, height).data);
        let gray = "";
        for (let at = 0; at < bytes.length; at += 4) gray += String.fromCharCode(bytes[at]);
        return {gpu: Boolean(gl), width, height, gray: btoa(gray), at: viewer.geometry.toCanvas()};
    });
}"""


@pytest.fixture(params=["gpu", "cpu"], scope="module")
def page(request: pytest.FixtureRequest, pages: Pages) -> Iterator["Page"]:
    """A page whose browser has WebGL, or has none."""
    with pages(viewport={"width": 640, "height": 600}) as opened:
        opened.gpu = request.param == "gpu"  # type: ignore[attr-defined]
        if request.param == "cpu":
            opened.add_init_script(NO_WEBGL)
        yield opened


def painted(page: "Page", path: str, *steps: dict[str, Any]) -> list[np.ndarray]:
    """What the canvas shows of the radiograph after each step, uint8 (rows, columns)."""
    page.goto(path)
    page.wait_for_selector(".viewer.full")
    return [shown(page, answer) for answer in page.evaluate(PAINTED, list(steps))]


def shown(page: "Page", answer: dict[str, Any]) -> np.ndarray:
    assert answer["gpu"] == page.gpu  # type: ignore[attr-defined]
    gray = np.frombuffer(base64.b64decode(answer["gray"]), np.uint8).reshape(
        answer["height"], answer["width"]
    )
    gray = gray[::-1] if answer["gpu"] else gray  # WebGL counts its rows from below.
    a, b, c, d, e, f = answer["at"]
    rows, columns = page.size  # type: ignore[attr-defined]
    x = sorted((e, a * columns + c * rows + e))
    y = sorted((f, b * columns + d * rows + f))
    left, top = round(max(0, x[0])), round(max(0, y[0]))
    return gray[top : round(y[1]), left : round(x[1])]


def served(site: Site, page: "Page", pixels: np.ndarray, **info: Any) -> str:
    page.size = pixels.shape  # type: ignore[attr-defined]
    return site.put("pixels", pixels, **info)


def windowed(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, as it is written there, for output from 0 to 255."""
    values = values.astype(np.float64)
    low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    between = ((values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5) * 255
    return np.where(values <= low, 0, np.where(values > high, 255, between))


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).max() <= 1


def test_twenty_windows_of_a_16_bit_ramp_are_those_of_numpy(site: Site, page: "Page"):
    chance = np.random.default_rng(11)
    windows = [[32768, 65536], [100, 1], [4000.5, 2], [70000, 20000], [-500, 3000]]
    windows += [[float(chance.uniform(0, 65535)), float(chance.uniform(1, 65536))] for _ in range(15)]
    steps = [{"window": window, "scale": 1} for window in windows]
    for window, found in zip(windows, painted(page, served(site, page, RAMP), *steps), strict=True):
        assert_same(found, windowed(RAMP, *window))


def test_turns_and_mirrors_are_those_of_numpy(site: Site, page: "Page"):
    pixels = bones(200, 150)
    steps = [{"scale": 1, "window": [1200, 2400], "actions": actions} for actions in (
        ["turn"], ["turn"], ["turn"], ["turn"], ["flip"], ["turn"], ["turnBack"], ["flip"]
    )]  # fmt: skip
    once = np.rot90(pixels, -1)
    expected = [
        once,
        np.rot90(pixels, 2),
        np.rot90(pixels, 1),
        pixels,
        np.fliplr(pixels),
        np.rot90(np.fliplr(pixels), -1),
        np.fliplr(pixels),
        pixels,
    ]
    found = painted(page, served(site, page, pixels), *steps)
    for picture, array in zip(found, expected, strict=True):
        assert_same(picture, windowed(array, 1200, 2400))


def test_an_enlarged_picture_is_that_of_pillow(site: Site, page: "Page"):
    pixels = bones(100, 80)
    for scale, picture in zip(
        (2, 4), painted(page, served(site, page, pixels), {"scale": 2}, {"scale": 4}), strict=True
    ):
        size = (80 * scale, 100 * scale)
        larger = np.asarray(
            Image.fromarray(pixels.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        )
        assert_same(picture, windowed(larger, 1200, 2400))


def test_a_picture_at_half_its_size_is_the_mean_of_four(site: Site, page: "Page"):
    pixels = bones(400, 300)
    (found,) = painted(page, served(site, page, pixels), {"scale": 0.5})
    means = pixels.reshape(200, 2, 150, 2).mean(axis=(1, 3)).round()
    assert_same(found, windowed(means, 1200, 2400))


def test_invert_and_monochrome1_each_turn_black_and_white(site: Site, page: "Page"):
    steps = [{"scale": 1}, {"scale": 1, "actions": ["invert"]}]
    white_is_low, both = painted(page, served(site, page, RAMP, photometric="MONOCHROME1"), *steps)
    assert_same(white_is_low, 255 - windowed(RAMP, 1200, 2400))
    assert_same(both, windowed(RAMP, 1200, 2400))


@pytest.mark.parametrize(("bits", "window"), [(8, (128, 256)), (16, (500.5, 800))])
def test_without_a_window_the_whole_range_is_shown(site: Site, page: "Page", bits: int, window: tuple):
    pixels = np.linspace(101, 900, 256 * 100).round().astype(np.uint16).reshape(100, 256)
    if bits == 8:
        pixels = (pixels // 4).astype(np.uint16)
    path = served(site, page, pixels, bits=bits, window=None, voi="NONE")
    (found,) = painted(page, path, {"scale": 1})
    assert_same(found, windowed(pixels, window[0] if bits == 8 else 501, window[1]))


def test_gpu_and_canvas_agree_at_any_zoom(site: Site, pages: Pages):
    steps = [{"scale": scale} for scale in (0.3, 0.77, 1.37)]
    found = []
    for script in ("", NO_WEBGL):
        with pages(viewport={"width": 640, "height": 600}, device_scale_factor=1.5) as page:
            page.gpu = not script  # type: ignore[attr-defined]
            page.add_init_script(script)
            found.append(painted(page, served(site, page, bones(500, 400)), *steps))
    for on_gpu, by_canvas in zip(*found, strict=True):
        assert_same(on_gpu, by_canvas)


def test_the_canvas_goes_on_where_the_gpu_is_lost(site: Site, pages: Pages):
    with pages(viewport={"width": 640, "height": 600}) as page:
        page.gpu = True  # type: ignore[attr-defined]
        path = served(site, page, RAMP)
        (before,) = painted(page, path, {"scale": 1})
        page.evaluate("""() => {
            const gl = document.querySelector("canvas").getContext("webgl2");
            gl.getExtension("WEBGL_lose_context").loseContext();
        }""")
        page.wait_for_function("() => !document.querySelector('canvas').getContext('webgl2')")
        page.gpu = False  # type: ignore[attr-defined]
        (after,) = (shown(page, answer) for answer in page.evaluate(PAINTED, [{"scale": 1}]))
        assert_same(after, before.astype(float))
