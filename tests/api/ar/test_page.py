"""The page of a scene, in Chromium: what it draws, how it is turned, and when it covers the radiograph."""

import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from jobs.record.job import Job
from tests import pictures
from tests.api.ar.conftest import link, radiograph, succeeded
from tests.api.ar.test_in_browser import STARTED_WITHIN, side_marked
from tests.api.conftest import Api
from tests.api.routes.test_targets import CALIBRATED, acquired, ended
from tests.browser import accessibility_faults, expect, watched_page, width_of
from tests.jobs.reading.signed import amend, claimed, sign

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOTS = Path(os.environ["OSTEO_SCREENSHOTS"]) if os.environ.get("OSTEO_SCREENSHOTS") else None
"""Where the screenshots stay, for a person to look at."""
SPACING_MM = 0.3
SIZE_MM = np.array([128, 96]) * SPACING_MM
"""Width and height of the radiograph."""
ABOVE_MM, BELOW_MM = 4 + 50 / 8, 4 + 4 + 12
"""The warning above the radiograph with its gap; below it the gap, the ruler and its text."""
MARGIN = 1.08
POLL = 11_000
"""Milliseconds after which the page asks again: it asks every ten seconds."""
Pages = Callable[..., AbstractContextManager["Page"]]


@pytest.fixture
def pages(browser: "Browser", api: Api) -> Pages:
    return partial(watched_page, browser, api.url, viewport={"width": 1280, "height": 800})


@pytest.fixture
def job(api: Api) -> Job:
    """A job whose radiograph has a mark in its upper left corner."""
    image = pictures.dicom(side_marked(), ImagerPixelSpacing=[SPACING_MM, SPACING_MM])
    return succeeded(api, image, {"finding": "no_fracture", "probability": 0.02, "regions": []})


def opened(page: "Page", path: str) -> None:
    page.goto(path)
    page.wait_for_selector("#stage.full", timeout=STARTED_WITHIN)
    expect(page.locator("#standing")).to_contain_text("State", timeout=STARTED_WITHIN)


def drawn(page: "Page") -> np.ndarray:
    """What the canvas shows, gray, without the mark of the focus."""
    page.evaluate("document.activeElement.blur()")
    box = "(({ x, y }) => [x, y, scene.width, scene.height].map(Math.round))(scene.getBoundingClientRect())"
    left, top, width, height = page.evaluate(box)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        return np.asarray(picture.convert("L"), float)[top : top + height, left : left + width]


def pixels_a_mm(shown: np.ndarray) -> float:
    """The scale of the front, in which the scene and its margin fill the height."""
    return float(shown.shape[0] / MARGIN / (SIZE_MM[1] + ABOVE_MM + BELOW_MM))


def plane_of(shown: np.ndarray) -> np.ndarray:
    """The part of the front in which the radiograph lies."""
    scale = pixels_a_mm(shown)
    middle = np.array(shown.shape[::-1]) / 2 + [0, (ABOVE_MM - BELOW_MM) / 2 * scale]
    left, top = (middle - SIZE_MM / 2 * scale).round().astype(int)
    width, height = (SIZE_MM * scale).round().astype(int)
    return shown[top : top + height, left : left + width]


def likeness(api: Api, job: Job, plane: np.ndarray) -> dict[str, float]:
    """How alike a picture is to the overlay of a job, as it is and turned."""
    with Image.open(io.BytesIO(api.request("GET", f"/v1/jobs/{job.id}/heatmap").data)) as overlay:
        wanted = np.asarray(overlay.convert("L").resize(plane.shape[::-1], Image.Resampling.BILINEAR), float)
    turns = {"as it is": wanted, "mirrored": wanted[:, ::-1], "upside down": wanted[::-1]}
    return {name: np.corrcoef(plane.ravel(), turned.ravel())[0, 1] for name, turned in turns.items()}


def ruler_px(shown: np.ndarray) -> int:
    """The width of the ruler: the brightest row below the middle is its line."""
    lower = shown[shown.shape[0] // 2 : -4, 4:-4]
    bright = np.flatnonzero(lower[(lower > 180).sum(axis=1).argmax()] > 118)
    return int(bright[-1] - bright[0] + 1)


def kept(page: "Page", name: str) -> None:
    if SHOTS:
        page.screenshot(path=SHOTS / f"ar-{name}.png", full_page=True)


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_accessible_at_any_width(api: Api, pages: Pages, width: int):
    job = succeeded(api, radiograph(ImagerPixelSpacing=[SPACING_MM, SPACING_MM]))
    with pages(viewport={"width": width, "height": 800}) as page:
        opened(page, link(api, job))
        assert not accessibility_faults(page)
        assert width_of(page) <= width
        expect(page.locator("header")).to_contain_text("Not for diagnosis. Not for guiding")
        expect(page.locator("dl")).to_contain_text("up to 25 % larger than in the patient")
        expect(page.locator("dl")).to_contain_text("A length in the patient is 80 to 100 % of the one shown.")
        kept(page, str(width))


def test_the_ruler_spans_50_mm_and_no_side_is_mirrored(api: Api, pages: Pages, job: Job):
    with pages() as page:
        opened(page, link(api, job))
        shown = drawn(page)
    # A tick is 0.2 mm wide, so the ruler is 50 mm from the middle of its first one to that of its last.
    assert abs(ruler_px(shown) - 50.2 * pixels_a_mm(shown)) <= 1
    alike = likeness(api, job, plane_of(shown))
    assert alike["as it is"] > 0.98
    assert max(alike["mirrored"], alike["upside down"]) < 0.9, alike


def test_the_scene_is_turned_by_keys_buttons_pointer_and_wheel(api: Api, pages: Pages, job: Job):
    with pages(reduced_motion="reduce") as page:
        opened(page, link(api, job))
        canvas, front = page.locator("#scene"), drawn(page)
        box = canvas.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

        def pressed(key: str) -> None:
            canvas.focus()
            page.keyboard.press(key)

        def dragged() -> None:
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + 80, y)
            page.mouse.up()

        keys = ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "-")
        acts = [partial(pressed, key) for key in keys]
        names = ("Turn left", "Turn right", "Tilt up", "Tilt down", "Nearer", "Farther")
        acts += [page.get_by_role("button", name=name).click for name in names]
        acts += [dragged, partial(page.mouse.wheel, 0, 100)]
        for act in acts:
            canvas.focus()
            act()
            assert np.abs(drawn(page) - front).mean() > 1, act
            pressed("Home")
            assert np.abs(drawn(page) - front).max() < 2


def test_from_behind_no_mirrored_anatomy_is_seen(api: Api, pages: Pages, job: Job):
    with pages() as page:
        opened(page, link(api, job))
        for _ in range(12):
            page.get_by_role("button", name="Turn left").click()
        behind = drawn(page)
        kept(page, "behind")
    plane = plane_of(behind)
    assert max(likeness(api, job, plane).values()) < 0.5
    assert plane.std() > 10, "it says that it is the back"


def test_the_opacity_is_that_of_the_radiograph_alone(api: Api, pages: Pages, job: Job):
    with pages() as page:
        opened(page, link(api, job))
        before = drawn(page)
        page.get_by_label("Opacity").fill("30")
        after = drawn(page)
    assert plane_of(after).max() < 0.5 * plane_of(before).max()
    assert ruler_px(after) == ruler_px(before)


def covered(page: "Page", text: str) -> np.ndarray:
    """What the canvas shows once the page, whose clock is installed, has asked and covered the radiograph."""
    page.clock.run_for(POLL)
    page.get_by_role("alert").filter(has_text=text).wait_for()
    return plane_of(drawn(page))


def test_a_deletion_covers_the_radiograph_with_withdrawn(api: Api, pages: Pages, job: Job):
    with pages() as page:
        page.clock.install()
        opened(page, link(api, job))
        # An image to compare with: afterwards there is none.
        before = plane_of(drawn(page))
        assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
        after = covered(page, "Withdrawn")
        kept(page, "withdrawn")
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.3


def test_an_amended_report_covers_the_radiograph(api: Api, pages: Pages):
    box = {"box": [60, 30, 20, 16]}
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    signed = sign(api.ledger, claimed(api.ledger, job), "fracture", (box,))
    with pages() as page:
        page.clock.install()
        opened(page, link(api, job))
        amend(api.ledger, signed, "fracture")
        covered(page, "Withdrawn. Its report was amended.")


def test_a_radiograph_past_its_validity_is_covered_with_stale(api: Api, pages: Pages):
    old = acquired(timedelta(seconds=400))
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **old))
    with pages() as page:
        page.clock.install()
        page.goto(link(api, job))
        page.wait_for_selector("#stage.full", timeout=STARTED_WITHIN)
        covered(page, "Stale. Valid until")
        kept(page, "stale")


def test_a_service_that_does_not_answer_covers_until_it_does(api: Api, pages: Pages, job: Job):
    with pages() as page:
        page.clock.install()
        opened(page, link(api, job))
        page.route("**/targets?*", lambda route: route.abort())
        covered(page, "No answer from the service. The last one came at")
        kept(page, "no-answer")
        page.unroute("**/targets?*")
        page.clock.run_for(POLL)
        expect(page.locator("#standing")).to_contain_text("State")
        assert likeness(api, job, plane_of(drawn(page)))["as it is"] > 0.98


def test_an_answer_is_trusted_for_20_seconds_even_if_timers_stop(api: Api, pages: Pages, job: Job):
    path = link(api, job)
    with pages() as page:
        opened(page, path)
        why = page.evaluate(
            """async () => {
                const { TargetsPoll } = await import("/ar/static/targets_poll.js");
                const poll = new TargetsPoll(`${document.body.dataset.job}/targets${location.search}`);
                const before = poll.cover().title;
                await poll.ask();
                const fresh = poll.cover();
                const { moment } = poll.answered;
                poll.answered.moment = moment - 21_000;
                const slept = poll.cover().title;
                poll.answered.moment = moment;
                poll.answered.date -= 21_000;
                return [before, fresh, slept, poll.cover().title];
            }"""
        )
    assert why == ["Asking the service", None, "No answer from the service", "No answer from the service"]


def test_a_link_that_ends_while_the_page_is_open_covers_it(api: Api, pages: Pages, job: Job):
    with pages() as page:
        page.clock.install()
        opened(page, link(api, job))
        page.route("**/targets?*", lambda route: route.fulfill(status=401, body="{}"))
        covered(page, "Link ended. Ask for a new one.")


def test_a_telephone_of_apple_gets_the_usdz_at_a_locked_scale(api: Api, pages: Pages, job: Job):
    with pages() as page:
        page.add_init_script("DOMTokenList.prototype.supports = token => token === 'ar'")
        opened(page, link(api, job))
        (quick_look,) = page.get_by_role("link").all()
        address = quick_look.get_attribute("href") or ""
        assert quick_look.get_attribute("rel") == "ar"
        assert address.endswith("#allowsContentScaling=0")
        assert quick_look.locator("img").get_attribute("alt") == "Place by Quick Look"
        answer = page.request.get(address.partition("#")[0])
        assert answer.headers["content-type"] == "model/vnd.usdz+zip"


def test_a_page_without_webgl_or_augmented_reality_says_so(api: Api, pages: Pages, job: Job):
    with pages() as page:
        opened(page, link(api, job))
        page.get_by_text("This browser has no augmented reality").wait_for()
        page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        page.reload()
        page.get_by_role("alert").filter(has_text="no WebGL").wait_for()
