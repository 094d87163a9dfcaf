"""The page of a scene on a headset: iwer, Meta's emulated WebXR runtime, in Chromium."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import pi
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from jobs.record.job import Job
from tests.api.ar.conftest import link
from tests.api.ar.peers import NPM, needs_npm
from tests.api.ar.test_page import POLL, Pages, job, kept, opened, pages, ruler_px
from tests.api.conftest import ROOT, Api
from tests.browser import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["job", "pages"]

pytestmark = needs_npm("iwer")
HEIGHT = 800
AWAY_M = 0.08
PIXELS_A_MM = HEIGHT / 2 / (AWAY_M * 1000)
"""The scale of what is AWAY_M before the eye: the field of view is a right angle."""
TABLE = 0.7, -0.9 / np.sqrt(3)
"""y and z of the point on the table at which a head 1.6 m high looks 60 degrees down."""
WALL_Z = -1.5


@contextmanager
def worn(pages: Pages, path: str, gone: bool = False) -> Iterator["Page"]:
    """The page of a link in the browser of a headset. Fails at its end for an error in the console.

    `gone`: the browser may note that something was answered 410.
    """
    complaints: list[str] = []
    with pages() as page:
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.clock.install()
        page.add_init_script(path=NPM / "iwer/build/iwer.js")
        page.add_init_script(path=ROOT / "tests/peers/headset.js")
        opened(page, path)
        yield page
    assert not [text for text in complaints if not (gone and "410" in text)]


def entered(page: "Page", surface: str) -> None:
    page.get_by_role("button", name=f"Place on a {surface}").click()
    page.locator("body.xr").wait_for(state="attached")
    page.locator("#hint").filter(has_text=f"Look at a {surface}").wait_for()


def seen(page: "Page", x: float, y: float, z: float, down: float = 0.0) -> np.ndarray:
    """What the person sees from a place, gray."""
    page.evaluate("place => headset.look(...place)", [x, y, z, down])
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        return np.asarray(picture.convert("L"), float)


def picked(page: "Page") -> None:
    page.evaluate("headset.pick()")


def close(page: "Page") -> np.ndarray:
    """What the person sees who looks at the ruler of a scene on the table from AWAY_M."""
    return seen(page, 0, TABLE[0] + 0.035, TABLE[1] + AWAY_M)


def test_a_scene_is_placed_on_a_table_in_its_true_size(api: Api, pages: Pages, job: Job):
    with worn(pages, link(api, job)) as page:
        entered(page, "table")
        assert seen(page, 0, 1.6, 0).max() < 50, "a wall is no table"
        aimed = seen(page, 0, 1.6, 0, pi / 3)
        assert aimed.max() > 100, "the scene is shown where it would stand"
        picked(page)
        page.locator("#hint").filter(has_text="take it up").wait_for()
        near = close(page)
        kept(page, "headset")
        # A tick is 0.2 mm wide.
        assert abs(ruler_px(near) - 50.2 * PIXELS_A_MM) <= 1
        nearer = seen(page, 0, TABLE[0] + 0.035, TABLE[1] + 0.75 * AWAY_M)
        assert abs(ruler_px(nearer) - 50.2 * PIXELS_A_MM / 0.75) <= 1
        assert np.abs(close(page) - near).max() < 2, "it stays where it was placed"
        page.locator("#end").dispatch_event("click")
        page.locator("body:not(.xr) #stage canvas").wait_for()
        assert not page.evaluate("Boolean(headset.activeSession)")


def test_a_scene_hangs_upright_on_a_wall_and_on_no_table(api: Api, pages: Pages, job: Job):
    with worn(pages, link(api, job)) as page:
        entered(page, "wall")
        assert seen(page, 0, 1.6, 0, pi / 3).max() < 50, "a table is no wall"
        picked(page)
        assert seen(page, 0, 1.6, 0, pi / 3).max() < 50
        assert seen(page, 0, 1.6, 0).max() > 50
        picked(page)
        # It hangs 3 mm before the wall.
        shown = seen(page, 0, 1.6, WALL_Z + 0.003 + AWAY_M)
        assert abs(ruler_px(shown) - 50.2 * PIXELS_A_MM) <= 1


def test_a_scene_that_is_taken_up_can_be_placed_again(api: Api, pages: Pages, job: Job):
    with worn(pages, link(api, job)) as page:
        entered(page, "table")
        seen(page, 0, 1.6, 0, pi / 3)
        picked(page)
        there = close(page)
        seen(page, 0.5, 1.6, 0, pi / 3)
        picked(page)
        picked(page)
        assert close(page).max() < 0.5 * there.max()


def test_a_deletion_covers_the_radiograph_on_a_headset(api: Api, pages: Pages, job: Job):
    with worn(pages, link(api, job), gone=True) as page:
        entered(page, "table")
        seen(page, 0, 1.6, 0, pi / 3)
        picked(page)
        before = close(page)
        assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
        page.clock.run_for(POLL)
        page.get_by_role("alert").filter(has_text="Withdrawn").wait_for()
        after = close(page)
        kept(page, "headset-withdrawn")
    assert np.abs(after - before).max() > 100
    assert abs(ruler_px(after) - ruler_px(before)) <= 1


@pytest.mark.parametrize(
    "refused", ["navigator.xr.requestSession", "XRSession.prototype.requestHitTestSource"]
)
def test_a_session_that_does_not_begin_is_said_and_ended(api: Api, pages: Pages, job: Job, refused: str):
    with worn(pages, link(api, job)) as page:
        page.evaluate(f"void ({refused} = () => Promise.reject(new Error('no')))")
        page.get_by_role("button", name="Place on a wall").click()
        page.get_by_role("alert").filter(has_text="did not start").wait_for()
        page.locator("body:not(.xr) #stage canvas").wait_for()
        assert not page.evaluate("Boolean(headset.activeSession)")
        expect(page.get_by_role("button", name="Place on a wall")).to_be_enabled()
