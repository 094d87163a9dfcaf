"""The viewer as a reader uses it: pointer, fingers, keys, the model's answer, measures and marks."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from api.reading_room.static_files import body_of
from jobs.reading.measurement import calibrated_spacing, checked_measurement, text_of
from jobs.record.job import ImageFacts
from tests.api.reading_room.viewer.conftest import Pages
from tests.api.reading_room.viewer.site import ANSWER, ROOM, Site
from tests.browser import accessibility_faults, expect, width_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

STATE = """async number => {
    const {viewers} = await import("/read/static/viewer.js");
    const {geometry, window, inverted, tool, sites} = [...viewers.values()][number];
    return {...geometry, window, inverted, tool, sites};
}"""
VIEWER = [
    *("ai", "geometry", "keys", "marks", "measure", "painter", "pixels", "pointer", "scale", "svg"),
    "viewer",
]
LARGEST = 30_500
"""Bytes of the viewer's scripts as they are served: the other scripts of /read have the rest of 40 kB."""


def state(page: "Page", number: int = 0) -> dict[str, Any]:
    return page.evaluate(STATE, number)


def opened(page: "Page", path: str) -> "Page":
    page.goto(path)
    page.wait_for_selector(".viewer.full")
    page.wait_for_function(
        "() => document.querySelector('[data-part=note]').textContent !== 'Loading the answer.'"
    )
    return page


def part(page: "Page", name: str) -> "Locator":
    return page.locator(f"[data-part={name}]").first


def middle(page: "Page") -> tuple[float, float]:
    box = part(page, "surface").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def dragged(page: "Page", dx: int, dy: int, button: Any = "left") -> None:
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + dx, y + dy, steps=3)
    page.mouse.up(button=button)


def on_screen(page: "Page", number: int, x: float, y: float) -> tuple[float, float]:
    """Where a point of the image is on the page."""
    left, top = page.evaluate(
        """async ([number, x, y]) => {
            const {viewers} = await import("/read/static/viewer.js");
            const viewer = [...viewers.values()][number];
            const [a, b, c, d, e, f] = viewer.toScreen();
            const frame = viewer.surface.getBoundingClientRect();
            return [a * x + c * y + e + frame.left, b * x + d * y + f + frame.top];
        }""",
        [number, x, y],
    )
    return left, top


def clicked(page: "Page", *points: tuple[float, float]) -> None:
    for point in points:
        page.mouse.click(*on_screen(page, 0, *point))


def test_the_preview_is_there_at_once_and_the_full_picture_follows(site: Site, pages: Pages):
    site.held.clear()
    try:
        with pages() as page:
            page.goto(site.put("late"))
            page.wait_for_selector(".viewer.on")
            expect(part(page, "state")).to_have_text("preview")
            shown = page.locator(".preview")
            assert shown.evaluate("async picture => (await picture.decode(), picture.naturalWidth)") > 0
            page.get_by_role("img", name="preview in 8 bits").wait_for()
            site.held.set()
            page.wait_for_selector(".viewer.full")
            expect(part(page, "state")).to_have_text("full")
            page.locator(".preview").wait_for(state="hidden")
    finally:
        site.held.set()


def test_the_pointer_windows_moves_zooms_and_fits(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one"))
        assert state(page)["window"] == [1200, 2400]
        dragged(page, 40, 20)
        first = state(page)
        assert first["window"] == pytest.approx([1320, 2640])
        expect(part(page, "window")).to_have_text("C 1320 W 2640")
        x, y = map(round, middle(page))
        page.mouse.move(x + 30, y - 20)
        under = page.evaluate(IMAGE_POINT, [x + 30, y - 20])
        page.mouse.wheel(0, -600)
        page.wait_for_function("() => document.querySelector('[data-part=zoom]').textContent !== '98 %'")
        zoomed = state(page)
        assert zoomed["scale"] > 2 * first["scale"]
        assert page.evaluate(IMAGE_POINT, [x + 30, y - 20]) == pytest.approx(under, abs=1)
        dragged(page, 25, 10, "right")
        moved = state(page)
        assert moved["centre"] == pytest.approx(
            [at - step / zoomed["scale"] for at, step in zip(zoomed["centre"], (25, 10), strict=True)]
        )
        page.keyboard.down("Shift")
        dragged(page, -25, -10)
        page.keyboard.up("Shift")
        assert state(page)["centre"] == pytest.approx(zoomed["centre"])
        assert state(page)["window"] == first["window"]
        page.mouse.dblclick(x, y)
        assert state(page)["fitted"]


IMAGE_POINT = """async ([x, y]) => {
    const {viewers} = await import("/read/static/viewer.js");
    const {inImage} = await import("/read/static/pointer.js");
    return inImage([...viewers.values()][0], {clientX: x, clientY: y});
}"""


def test_one_finger_windows_and_two_pinch(site: Site, pages: Pages):
    with pages(viewport={"width": 360, "height": 740}, has_touch=True, device_scale_factor=2) as page:
        opened(page, site.put("one"))
        touch = page.context.new_cdp_session(page)
        x, y = middle(page)

        def fingers(kind: str, *points: tuple[float, float]) -> None:
            touch.send(
                "Input.dispatchTouchEvent",
                {"type": kind, "touchPoints": [{"x": a, "y": b, "id": n} for n, (a, b) in enumerate(points)]},
            )

        fingers("touchStart", (x, y))
        fingers("touchMove", (x + 20, y))
        fingers("touchEnd")
        before = state(page)
        assert before["window"] == pytest.approx([1200, 2520], rel=0.01)
        fingers("touchStart", (x - 30, y), (x + 30, y))
        fingers("touchMove", (x - 60, y), (x + 60, y))
        fingers("touchEnd")
        after = state(page)
        assert after["scale"] == pytest.approx(2 * before["scale"], rel=0.05)
        assert after["window"] == before["window"]


def test_every_key_does_what_the_list_says_and_none_while_typing(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one"))
        part(page, "surface").focus()
        first = state(page)
        for key, changed in {
            "i": {"inverted": True},
            "r": {"m": [0, -1, 1, 0]},
            "Shift+R": {"m": [1, 0, 0, 1]},
            "f": {"m": [-1, 0, 0, 1]},
            "1": {"scale": 1, "fitted": False},
            "+": {"scale": 1.25},
            "-": {"scale": 1},
            "0": {"fitted": True},
            "]": {"window": [1200, 2520]},
            "[": {"window": [1200, 2400]},
            ",": {"window": [1080, 2400]},
            ".": {"window": [1200, 2400]},
            "b": {"tool": "box"},
            "x": {"tool": "point"},
            "m": {"tool": "length"},
        }.items():
            page.keyboard.press(key)
            found = state(page)
            assert {name: found[name] for name in changed} == changed, key
        for tool in ("angle", "cobb", "window"):
            page.keyboard.press("m")
            assert state(page)["tool"] == tool
        page.keyboard.press("+")
        centre = state(page)["centre"]
        page.keyboard.press("ArrowLeft")
        assert state(page)["centre"][0] != centre[0]
        page.keyboard.press("n")
        page.wait_for_url("**#next")
        before = state(page)
        page.get_by_label("Text of the report").press_sequentially("if more 0")
        assert state(page) == before
        assert first["window"] == before["window"]


def test_chosen_keys_are_kept_and_a_wrong_choice_is_told(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one"))
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys of the viewer")
        assert not accessibility_faults(page)
        dialog.get_by_label("Invert").press("q")
        expect(dialog.get_by_role("alert")).to_have_text("")
        dialog.get_by_label("Flip").press("q")
        expect(dialog.get_by_role("alert")).to_have_text("“q” is used twice.")
        dialog.get_by_role("button", name="Close").click()
        opened(page, "/read/one")
        expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-keyshortcuts", "q")
        page.keyboard.press("i")
        assert not state(page)["inverted"]
        page.keyboard.press("q")
        assert state(page)["inverted"]
        page.get_by_role("button", name="Keys").click()
        dialog.get_by_label("JSON").fill(json.dumps({"fit": "9", "dance": "d"}))
        dialog.get_by_role("button", name="Import").click()
        expect(dialog.get_by_role("alert")).to_contain_text("dance")
        dialog.get_by_label("JSON").fill(json.dumps({"fit": "9"}))
        dialog.get_by_role("button", name="Import").click()
        expect(dialog.get_by_label("Fit")).to_have_value("9")
        expect(dialog.get_by_label("Invert")).to_have_value("i")


def test_orientation_and_side_follow_turns_and_are_never_guessed(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one"))

        def sides() -> list[str | None]:
            page.evaluate("() => new Promise(requestAnimationFrame)")
            return [part(page, edge).text_content() for edge in ("right", "bottom", "left", "top")]

        assert sides() == ["L", "F", "R", "H"]
        page.keyboard.press("r")
        assert sides() == ["H", "L", "F", "R"]
        part(page, "mirrored").wait_for(state="hidden")
        page.keyboard.press("f")
        assert sides() == ["F", "L", "H", "R"]
        part(page, "mirrored").wait_for()
        expect(part(page, "side")).to_have_text("side L")
        opened(page, site.put("unknown", orientation=None, laterality=None))
        expect(part(page, "side")).to_have_text("side unknown")
        assert sides() == ["", "", "", ""]


def test_the_answer_is_outlined_listed_and_switched_off(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one"))
        expect(page.locator("g.region")).to_have_count(2)
        expect(page.locator("g.region.doubtful")).to_have_count(1)
        assert page.evaluate("() => getComputedStyle(document.querySelector('.region .line')).fill") == "none"
        regions = page.locator(".regions button")
        expect(regions).to_have_text(
            [
                "Region 1: 0.81, 17.2 × 12.9 mm at detector, solid",
                "Region 2: 0.40, 11.4 × 8.6 mm at detector, dashed: doubtful",
            ]
        )
        below = "Outlined: 2. Below the lower operating point, and not outlined: 1."
        page.get_by_text(below).wait_for()
        regions.nth(1).focus()
        expect(page.locator("g.region.lit.doubtful")).to_have_count(1)
        page.keyboard.press("Enter")
        assert state(page)["centre"] == [160, 180]
        heat, badge = page.locator("image"), part(page, "badge")
        badge.wait_for()
        expect(badge).to_have_text("AI, not reviewed")
        expect(heat).to_have_attribute("opacity", "0")
        page.get_by_role("slider", name="Heat map").press("End")
        expect(heat).to_have_attribute("opacity", "1")
        page.keyboard.press("o")
        expect(heat).to_have_attribute("opacity", "0")
        page.keyboard.press("o")
        expect(heat).to_have_attribute("opacity", "0.5")
        page.keyboard.press("a")
        badge.wait_for(state="hidden")
        page.locator("g.region").first.wait_for(state="hidden")
        part(page, "finding").wait_for(state="hidden")
        page.keyboard.press("a")
        part(page, "finding").wait_for()
        page.get_by_role("img", name="Probability on a scale").wait_for()
        for told in (
            "fracture, probability 0.87",
            "Lower operating point 0.21",
            "Upper operating point 0.64",
            "Below this probability the finding is no",
            "little contrast",
            "Model osteo 1.4.0",
        ):
            page.locator(".ai").get_by_text(told).wait_for()


@pytest.mark.parametrize(("probability", "text"), [(0.004, "< 0.01"), (0.996, "> 0.99"), (0.5, "0.50")])
def test_a_probability_at_the_end_of_the_scale_has_no_false_digits(
    site: Site, pages: Pages, probability: float, text: str
):
    with pages() as page:
        opened(page, site.put("edge", answer={**ANSWER, "probability": probability, "regions": []}))
        expect(page.locator(".ai .finding")).to_have_text(f"fracture, probability {text}")
        page.get_by_text("Outlined: 0.").wait_for()


@pytest.mark.parametrize("java_script", [True, False])
def test_the_score_of_a_region_at_the_end_has_no_false_digits(site: Site, pages: Pages, java_script: bool):
    low, high = ANSWER["operating_points"]
    points = [{**low, "threshold": 0}, {**high, "threshold": 1}]
    regions = [{"box": [250, 280, 120, 90], "score": score} for score in (0.9961, 0.0041)]
    answer = {**ANSWER, "probability": 0.9962, "regions": regions, "operating_points": points}
    with pages(java_script_enabled=java_script) as page:
        page.goto(site.put("edges", answer=answer))
        expect(page.locator(".finding:visible")).to_contain_text(
            "racture, probability > 0.99", timeout=60_000
        )
        expect(page.locator(".regions li:visible")).to_contain_text(["> 0.99", "< 0.01"])


def test_a_blind_reader_is_told_only_that_the_answer_is_hidden(site: Site, pages: Pages):
    with pages() as page:
        site.asked.clear()
        opened(page, site.put("blind", answer=None))
        expect(part(page, "note")).to_have_text("The model's answer is hidden until you commit a finding.")
        for key in ("o", "a"):
            page.keyboard.press(key)
        part(page, "badge").wait_for(state="hidden")
        page.get_by_role("button", name="AI off").wait_for(state="hidden")
        page.get_by_role("slider", name="Heat map").wait_for(state="hidden")
        part(page, "ai").wait_for(state="hidden")
        assert not [path for path in site.asked if "heat" in path]
        assert not accessibility_faults(page)
        site.put("blind")
        page.evaluate("""async () => {
            const {viewers} = await import("/read/static/viewer.js");
            await [...viewers.values()][0].ai.load();
        }""")
        part(page, "finding").wait_for()


@pytest.mark.parametrize(
    ("spacing", "plane", "text"),
    [
        ([0.2, 0.1], "detector", "14.1 mm at detector"),
        ([0.2, 0.1], "patient", "14.1 mm in patient (calibrated)"),
        ([0.2, 0.1], None, "14.1 mm (plane not stated)"),
        (None, None, "112 px (no scale)"),
    ],
)
def test_a_length_names_its_unit_and_its_plane(
    site: Site, pages: Pages, spacing: list[float] | None, plane: str | None, text: str
):
    with pages() as page:
        opened(page, site.put("scaled", spacing_mm=spacing, spacing_plane=plane))
        found = page.evaluate(
            """async () => {
                const {viewers} = await import("/read/static/viewer.js");
                const {lengthText} = await import("/read/static/measure.js");
                return lengthText([10, 20], [110, 70], [...viewers.values()][0].info);
            }"""
        )
        assert found == text


PLANES = {"detector": "detector", "calibrated": "patient", "unstated": None}
"""How the viewer is told what the header says."""


def test_viewer_and_report_measure_alike(site: Site, pages: Pages):
    random = np.random.default_rng(5)
    image = ImageFacts("0" * 64, 512, 640, "DICOM", 1)
    cases, wanted = [], []
    for n in range(600):
        kind, ends = (("length", 2), ("angle", 3), ("cobb", 4))[n % 3]
        points = random.uniform(0, 512, (ends, 2)).round(3).tolist()
        if n % 2:  # Whole pixels of a quarter of a millimetre: many end in a half of what is shown.
            points = [[float(int(x)), 7.0] for x, _ in points]
        plane = [*PLANES, None][n % 4]
        spacing = [0.25, 0.25] if n % 2 else random.uniform(0.05, 0.5, 2).round(4).tolist()
        known = {"pixel_spacing": spacing, "spacing_plane": plane} if plane else None
        info = {"spacing_mm": spacing if plane else None, "spacing_plane": PLANES.get(plane or "")}
        given: dict[str, Any] = {"kind": kind, "points": points}
        if n % 5 == 0 and kind == "length":
            calibration: Any = {"mm": 12.5, "ends": [[10, 20], [60.5, 90]]}
            given["calibration"] = calibration
            info = {"spacing_mm": calibrated_spacing(calibration, known), "spacing_plane": "patient"}
            info["calibration"] = calibration
        try:
            wanted.append(text_of(checked_measurement(given, image, known)).partition(": ")[2])
        except ValueError:  # Two ends are one point.
            continue
        cases.append([kind, points, info])
    assert len(cases) > 500
    with pages() as page:
        opened(page, site.put("one"))
        texts = page.evaluate(
            """async cases => {
                const text = await import("/read/static/measure.js");
                return cases.map(([kind, points, info]) => text[`${kind}Text`](...points, info));
            }""",
            cases,
        )
    assert texts == wanted


def test_lengths_and_angles_are_drawn_by_pointer(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one", spacing_mm=[0.5, 0.5], spacing_plane="patient"))
        page.keyboard.press("m")
        clicked(page, (100, 100), (300, 100))
        page.keyboard.press("m")
        clicked(page, (100, 200), (100, 300), (200, 300))
        page.keyboard.press("m")
        clicked(page, (100, 400), (200, 400), (100, 500), (200, 450))
        texts = page.locator("[data-part=measures] li").all_text_contents()
        lengths = re.search(r"Length 1: ([\d.]+) mm in patient \(calibrated\)", texts[0])
        assert lengths
        assert float(lengths[1]) == pytest.approx(100, abs=1)
        assert re.search(r"Angle 1: (89|90)\.\d°", texts[1])
        assert re.search(r"Cobb angle 1: 2[67]\.\d° Cobb", texts[2])
        assert not accessibility_faults(page)
        page.get_by_role("button", name="Remove Angle 1").click()
        expect(page.locator("[data-part=measures] li")).to_have_count(2)


def test_an_object_is_marked_by_keyboard_and_its_ends_are_sent(site: Site, pages: Pages):
    sent = []
    with pages() as page:
        opened(page, site.put("ball", spacing_mm=None, spacing_plane=None))
        answer = {"tag": "t2", "text": "Marked.", "ends": [[1, 1], [2, 2]]}
        answer["info"] = {"spacing_mm": [0.5, 0.5], "spacing_plane": "patient", "calibration": {"mm": 25}}
        page.route(
            "**/calibration",
            lambda route: (sent.append(route.request.post_data), route.fulfill(json=answer)),
        )
        page.get_by_role("button", name="Length").click()
        part(page, "surface").press("Enter")
        entries = page.locator("[data-part=measures] li")
        before = re.search(r"(\d+) px \(no scale\)", entries.first.text_content() or "")
        assert before
        page.get_by_role("button", name="Calibrate").click()
        for _ in range(2):  # A second object takes the place of the first.
            part(page, "surface").press("Enter")
        assert entries.count() == 2
        page.keyboard.press("Shift+ArrowRight")
        page.get_by_label("Its size in mm").fill("25")
        page.get_by_role("button", name="Use this scale").click()
        written = re.compile(r"Length 1: ([\d.]+) mm in patient \(calibrated on 25 mm\)")
        after = written.search(page.get_by_text(written).text_content() or "")
        assert after
        assert float(after[1]) == pytest.approx(int(before[1]) / 2, abs=0.3)
        page.get_by_text("Marked.", exact=True).wait_for()
        assert "mm=25" in sent[0]
        assert len(re.findall(r"ends=([\d.]+%2C){3}[\d.]+", sent[0])) == 1
        with page.expect_response("**/calibration"):
            page.get_by_role("button", name="As the source says").click()
        assert "remove=1" in sent[1]
        assert not accessibility_faults(page)


def test_a_measure_is_placed_moved_and_removed_by_keyboard(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one", spacing_mm=[1, 1]))
        page.keyboard.press("Tab")
        while page.evaluate("() => document.activeElement.dataset.part") != "surface":
            page.keyboard.press("Tab")
        page.keyboard.press("m")
        page.keyboard.press("Enter")
        entry = page.locator("[data-part=measures] li")

        def length() -> float:
            found = re.search(r"([\d.]+) mm at detector", entry.text_content() or "")
            assert found
            return float(found[1])

        before = length()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        assert length() == pytest.approx(before - 11, abs=0.1)
        page.wait_for_function(
            "text => document.querySelector('[data-part=said]').textContent === text",
            arg=f"Length: {length():.1f} mm at detector",
        )
        page.keyboard.press("Tab")
        assert "end 2" in page.evaluate("() => document.activeElement.getAttribute('aria-label')")
        page.keyboard.press("Delete")
        expect(entry).to_have_count(0)
        assert page.evaluate("() => document.activeElement.dataset.part") == "surface"


def test_marked_sites_are_told_to_the_page_and_shown_from_it(site: Site, pages: Pages):
    with pages() as page:
        opened(page, site.put("one"))
        page.evaluate("addEventListener('site', ({detail}) => { window.told = detail.sites; })")
        page.keyboard.press("b")
        page.mouse.move(*on_screen(page, 0, 100, 120))
        page.mouse.down()
        page.mouse.move(*on_screen(page, 0, 180, 180), steps=3)
        page.mouse.up()
        (marked,) = page.evaluate("window.told")
        assert marked["box"] == pytest.approx([100, 120, 80, 60], abs=2)
        assert all(isinstance(value, int) for value in marked["box"])
        page.keyboard.press("x")
        clicked(page, (300.5, 200.5))
        assert page.evaluate("window.told")[1]["point"] == pytest.approx([300, 200], abs=2)
        clicked(page, (511.9, 639.9))
        page.locator("g.point .handle").last.press("Shift+ArrowRight")
        page.locator("g.point .handle").last.press("Shift+ArrowDown")
        assert page.evaluate("window.told")[2]["point"] == [511, 639]
        given = [{"point": [50, 60], "bone": "radius"}, {"box": [10, 20, 30, 40], "bone": None}]
        page.evaluate(
            """async sites => {
                const {viewers} = await import("/read/static/viewer.js");
                [...viewers.values()][0].sites = sites;
            }""",
            given,
        )
        assert state(page)["sites"] == given
        expect(page.locator("g.mark")).to_have_count(2)
        page.locator("g.mark .handle").first.press("ArrowDown")
        assert page.evaluate("window.told")[0] == {"point": [50, 61], "bone": "radius"}


def test_two_views_are_locked_in_zoom_and_window_until_unlocked(site: Site, pages: Pages):
    with pages(viewport={"width": 1600, "height": 900}) as page:
        one, two = site.put("one"), site.put("two", np.full((300, 200), 7, np.uint16), window=[600, 1200])
        page.goto(f"{one}+{two.rpartition('/')[2]}")
        page.wait_for_function("() => document.querySelectorAll('.viewer.full.answered').length === 2")
        page.keyboard.press("+")
        page.keyboard.press("]")
        first, second = state(page), state(page, 1)
        assert second["window"] == [600, 1260]
        assert second["centre"] == [100, 150]
        assert second["scale"] / first["scale"] == pytest.approx(640 / 300, rel=0.02)
        assert not accessibility_faults(page)
        page.get_by_label("Lock views").nth(1).uncheck()
        page.keyboard.press("i")
        page.get_by_role("button", name="Zoom in").first.click()
        assert state(page, 1)["scale"] == second["scale"]
        assert not state(page)["inverted"]
        assert state(page, 1)["inverted"]


def test_without_script_the_preview_and_the_answer_can_be_read(site: Site, pages: Pages):
    with pages(java_script_enabled=False) as page:
        page.goto(site.put("one"))
        page.get_by_role("img", name="preview in 8 bits").wait_for()
        page.get_by_text("Fracture, probability 0.87. AI, not reviewed.").wait_for()
        page.get_by_text("Region at x 250, y 280, 120 × 90 px, score 0.81").wait_for()
        page.get_by_text("Not a calibrated diagnostic display").wait_for()
        expect(page.get_by_role("button")).to_have_count(0)


# 640 x 450 is a window of 1280 x 900 at a zoom of 200 %.
@pytest.mark.parametrize(
    ("width", "height"),
    [(360, 740), (640, 450), (1280, 900), pytest.param(3840, 2160, marks=pytest.mark.long)],
)
def test_the_viewer_fits_and_axe_finds_nothing_at_each_width(
    site: Site, pages: Pages, width: int, height: int
):
    with pages(viewport={"width": width, "height": height}) as page:
        opened(page, site.put("one", spacing_plane="patient"))
        for key in ("o", "m"):
            page.keyboard.press(key)
        part(page, "surface").press("Enter")
        assert width_of(page) <= width
        text = page.locator(".mark .label").bounding_box()
        picture = part(page, "surface").bounding_box()
        assert text
        assert picture
        assert text["x"] >= picture["x"]
        assert text["x"] + text["width"] <= picture["x"] + picture["width"]
        assert not accessibility_faults(page)


def test_the_scripts_are_small_and_ours_and_nothing_moves_by_itself():
    scripts = {path.stem: body_of(path) for path in (ROOM / "static").glob("*.js")}
    assert sum(len(body) for body in scripts.values()) <= 40_000
    assert sum(len(scripts[name]) for name in VIEWER) <= LARGEST
    for body in scripts.values():
        foreign = re.findall(r"""from ["'](?!\./)|https?://(?!www\.w3\.org/2000/svg)""", body.decode())
        assert not foreign
    assert not re.search(r"animation|transition", (ROOM / "static/viewer.css").read_text())


def test_the_page_of_the_viewer_lists_every_key():
    listed = re.findall(r"`([^`]+)` \|", (ROOM.parents[1] / "docs/viewer.md").read_text().split("## What")[0])
    template = (ROOM / "templates/_viewer_keys.html").read_text()
    keys = re.findall(r'\("\w+", "[^"]+", "([^"]+)"\)', template)
    assert len(keys) == 24
    assert sorted(listed) == sorted(keys)


def test_a_script_is_served_without_comments_and_needless_spaces(tmp_path: Path):
    script = tmp_path / "a.js"
    script.write_text(
        '// All of it.\n/** Two\n * lines. */\nf (\n\t"// kept", // and this\n\n);\n'
        "const a = x + +y, b = `{ kept } // ${ kept }`; return a / b;\n"
    )
    assert body_of(script) == (b'f("// kept",\n);const a=x + +y,b=`{ kept } // ${ kept }`;return a / b;')
    style = tmp_path / "a.css"
    style.write_text("/* kept */\n a {}\n")
    assert body_of(style) == style.read_bytes()
