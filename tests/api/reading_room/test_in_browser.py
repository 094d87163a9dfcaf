"""Uses the reading room as a doctor does: a real browser at a real server, from sign-in to signature."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.readers import Readers
from jobs.reading.readings import Readings
from jobs.reading.states import Mode
from jobs.record.job import Job, now
from jobs.record.states import Priority
from jobs.store.served_model import publish
from tests.api.conftest import Api, serving
from tests.api.reading_room.cases import RESULT, SERVED, put_job, put_reading, radiograph
from tests.api.readings.codes import Codes
from tests.browser import accessibility_faults, expect, watched_page, width_of
from tests.conftest import Servers, a_study, await_that

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FRACTURE = RESULT | {
    "finding": "fracture",
    "probability": 0.91,
    "regions": [{"box": [170, 180, 60, 50], "score": 0.83}, {"box": [300, 60, 50, 40], "score": 0.31}],
}
SHOTS = Path(os.environ.get("OSTEO_SCREENSHOTS", "")) if os.environ.get("OSTEO_SCREENSHOTS") else None
"""Where the screenshots stay, for a person to look at."""


@dataclass
class Doctor:
    """A reader of a group and a client of the test's own."""

    api: Api
    key: str
    codes: Codes
    group: str
    client: str

    def colleague(self, name: str) -> "Doctor":
        """Return another reader of the group."""
        key, reader = Readers(self.api.records, 0).create(name, frozenset({self.group}))
        return Doctor(self.api, key, Codes(reader), self.group, self.client)

    def put(self, mode: Mode = Mode.BLIND, result: dict | None = FRACTURE, **job: Any) -> Job:
        """Put a job whose reading waits for the group."""
        given = put_job(self.api.ledger, result, client=self.client, **job)
        put_reading(self.api.ledger, given, mode, self.group)
        return given


Pages = Callable[..., AbstractContextManager["Page"]]


@pytest.fixture(scope="module")
def room(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    # Over TLS the cookie is Secure; this server has none.
    with serving(servers, tmp_path_factory.mktemp("room"), public_url="http://localhost") as (api, _):
        yield api


@pytest.fixture
def doctor(room: Api) -> Doctor:
    name = uuid4().hex[:8]
    group, client = f"msk-{name}", f"clinic-{name}"
    publish(room.objects, SERVED)
    Policies(room.records).put(client, ReadingPolicy((group,), Mode.BLIND))
    key, reader = Readers(room.records, 0).create("Dr. Ada Bone", frozenset({group}), client)
    return Doctor(room, key, Codes(reader), group, client)


@pytest.fixture
def pages(browser: "Browser", room: Api) -> Pages:
    return partial(watched_page, browser, room.url)


@contextmanager
def signed_in(pages: Pages, doctor: Doctor, **options: object) -> Iterator["Page"]:
    with pages(**options) as page:
        page.goto("/read")
        page.get_by_label("Reader key").fill(doctor.key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Worklist").wait_for()
        yield page


def analysed(api: Api, job: Job, result: dict = FRACTURE) -> None:
    """End a job as a worker does."""
    api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(result, now(), bytes(256)))


def drawn(page: "Page") -> None:
    page.wait_for_selector(".viewer.full")


def open_form(page: "Page", job: Job) -> None:
    """Open a radiograph, claim its reading, and wait for the form of its report."""
    page.goto(f"/read/{job.id}")
    page.get_by_role("button", name="Claim").click()
    page.wait_for_selector("#report-form")
    drawn(page)


def test_a_doctor_uploads_looks_signs_blind_and_another_one_arbitrates(pages: Pages, doctor: Doctor):
    with signed_in(pages, doctor) as page:
        page.get_by_text("Send radiographs").click()
        page.get_by_label("Read by a person").select_option("requested")
        page.get_by_label("Your reference").fill("wrist 4")
        page.get_by_label("Question to the reader").fill("Radius?")
        page.get_by_label("Models may learn").check()
        page.get_by_label("Reference of the consent").fill("c-118")
        page.get_by_label("Files:").set_input_files(
            [
                {"name": "a.png", "mimeType": "image/png", "buffer": radiograph()},
                {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture at all"},
            ]
        )
        page.get_by_role("button", name="Send").click()
        sent = page.get_by_role("list", name="Files being sent")
        expect(sent.get_by_role("listitem").nth(0)).to_contain_text("a.png sent")
        expect(sent.get_by_role("listitem").nth(1)).to_contain_text("not an image that we read")
        rows = page.get_by_role("row", name="wrist 4")
        expect(rows).to_have_count(2)
        expect(rows.nth(1)).to_contain_text("waits for the model")
        (job_id,) = doctor.api.ledger.of_client(doctor.client, None)
        job = doctor.api.ledger.read(job_id)
        assert (job.training_use, job.consent_reference) == ("allowed", "c-118")
        analysed(doctor.api, job)
        expect(rows.nth(1)).to_contain_text("analysed")
        expect(rows.nth(0)).to_contain_text("hidden until you commit")
        assert not accessibility_faults(page)

        rows.nth(0).get_by_role("link").click()
        drawn(page)
        expect(page.get_by_text("Radius?")).to_be_visible()
        page.get_by_role("slider", name="Centre").press("ArrowRight")
        page.get_by_role("button", name="Claim").click()
        drawn(page)
        expect(page.get_by_text("The model's answer is hidden until you commit a finding.")).to_be_visible()
        assert "0.91" not in page.content()
        page.get_by_label("No fracture").check()
        page.get_by_label("Text", exact=True).fill("Intact.")
        page.get_by_role("button", name="Commit finding").click()
        expect(page.get_by_text("The model finds a fracture; the reader finds none.")).to_be_visible()
        expect(page.locator("g.region")).to_have_count(2)
        page.get_by_role("slider", name="Heat map").press("End")
        assert not accessibility_faults(page)
        page.get_by_label("3b").check()
        page.get_by_label("One-time code").fill("000000")
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_role("alert").filter(has_text="one-time code is wrong")).to_be_visible()
        page.get_by_label("One-time code").fill(doctor.codes.next())
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("Signed by Dr. Ada Bone")).to_be_visible()
        assert not accessibility_faults(page)
        page.get_by_role("link", name="Worklist").click()
        expect(page.get_by_text("Signed by you last")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.goto(f"/read/{job_id}")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    first, second = Readings(doctor.api.ledger).of_job(job_id)
    assert first.committed["blind"] is False, "the doctor sends radiographs, too"
    assert second.arbitrates == first.id
    bob = doctor.colleague("Dr. Bob Bone")
    with signed_in(pages, bob) as page:
        page.get_by_role("row", name="decides a disagreement").get_by_role("link").click()
        expect(page.get_by_text("You decide")).to_be_visible()
        page.get_by_role("button", name="Claim").click()
        drawn(page)
        page.get_by_label("Fracture", exact=True).check()
        page.get_by_role("button", name="Mark box").click()
        surface = page.get_by_role("application").bounding_box()
        assert surface
        middle = surface["x"] + surface["width"] / 2, surface["y"] + surface["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 60, middle[1] + 40, steps=3)
        page.mouse.up()
        page.get_by_label("Bone").first.fill("radius")
        page.get_by_label("One-time code").fill(bob.codes.next())
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("Signed by Dr. Bob Bone")).to_be_visible()
    (site,) = Readings(doctor.api.ledger).read(second.id).reports[0]["report"]["sites"]
    assert site["bone"] == "radius"
    assert len(site["box"]) == 4


def site_of(page: "Page") -> list[int]:
    """The first site's place in the form: x, y, width and height."""
    return [int(number) for number in page.locator("#sites input[name=place]").first.input_value().split(",")]


def test_the_whole_way_goes_by_keyboard_alone(pages: Pages, doctor: Doctor):
    job = doctor.put()
    with pages() as page:
        page.goto("/read")

        def focused() -> str:
            return page.evaluate(
                "() => document.activeElement.innerText || document.activeElement.name || ''"
            )

        def tab_to(name: str, key: str = "Tab") -> None:
            for _ in range(90):
                if focused().startswith(name):
                    return
                page.keyboard.press(key)
            raise AssertionError(f"{name} is not reached: {focused()}")

        page.wait_for_selector("input[name=key]:focus")  # It takes the focus by itself.
        page.keyboard.type(doctor.key)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Worklist").wait_for()
        page.wait_for_selector(".scripted:not([hidden])")
        page.keyboard.press("/")
        assert focused().startswith("all")
        tab_to("Filter")
        page.keyboard.press("j")
        assert focused() == "knee 17"
        page.keyboard.press("Enter")
        drawn(page)
        tab_to("To the report")
        page.keyboard.press("Enter")
        tab_to("Claim")
        page.keyboard.press("Enter")
        page.wait_for_selector("#report-form")
        drawn(page)
        page.locator("[data-part=surface]").focus()
        for key in ("b", "Enter"):
            page.keyboard.press(key)
        x, y, width, height = site_of(page)
        for key in ("ArrowRight", "ArrowRight", "Tab", "ArrowDown"):
            page.keyboard.press(key)
        assert site_of(page) == [x + 2, y, width - 2, height + 1]
        tab_to("finding")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        tab_to("text")
        page.keyboard.type("Seen by keyboard.")
        tab_to("Commit finding")
        page.keyboard.press("Enter")
        page.wait_for_selector(".compare")
        drawn(page)
        tab_to("code")
        page.keyboard.type(doctor.codes.next())
        page.keyboard.press("Enter")
        page.get_by_text("Signed by Dr. Ada Bone").wait_for()
    (reading,) = Readings(doctor.api.ledger).of_job(job.id)
    assert reading.reports[0]["report"]["finding"] == "fracture"
    assert reading.reports[0]["report"]["text"] == "Seen by keyboard."


def test_without_script_a_reading_is_signed(pages: Pages, doctor: Doctor):
    job = doctor.put()
    with signed_in(pages, doctor, java_script_enabled=False) as page:
        page.get_by_role("link", name="knee 17").first.click()
        shown = page.get_by_role("img", name="preview in 8 bits")
        assert shown.evaluate("async picture => (await picture.decode(), picture.naturalWidth)") > 0
        page.get_by_role("button", name="Claim").click()
        page.get_by_label("Fracture", exact=True).check()
        page.get_by_label("Place", exact=True).fill("170, 180, 60")
        page.get_by_label("Text", exact=True).fill("Kept")
        page.get_by_role("button", name="Commit finding").click()
        page.get_by_role("alert").filter(has_text="Site 1 has no place").wait_for()
        expect(page.get_by_label("Text", exact=True)).to_have_value("Kept")
        page.get_by_label("Place", exact=True).first.fill("170, 180, 60, 50")
        page.get_by_role("button", name="Commit finding").click()
        page.get_by_text("The reader and the model agree.").wait_for()
        page.get_by_text("Fracture, probability 0.91").first.wait_for()
        page.get_by_label("One-time code").fill(doctor.codes.next())
        page.get_by_role("button", name="Sign", exact=True).click()
        page.get_by_text("Signed by Dr. Ada Bone").wait_for()
    (reading,) = Readings(doctor.api.ledger).of_job(job.id)
    assert reading.reports[0]["report"]["sites"] == [{"box": [170, 180, 60, 50]}]


def test_two_windows_lose_no_text(pages: Pages, doctor: Doctor):
    job = doctor.put()
    with signed_in(pages, doctor) as page:
        page.clock.install()
        open_form(page, job)
        other = page.context.new_page()
        other.goto(f"/read/{job.id}")
        drawn(other)
        page.get_by_label("Text", exact=True).fill("First window")
        page.clock.run_for(11_000)
        expect(page.get_by_text("Draft saved at")).to_be_visible()
        other.get_by_label("Text", exact=True).fill("Second window")
        other.get_by_role("button", name="Save draft").click()
        expect(other.get_by_role("alert").filter(has_text="Another window of yours")).to_be_visible()
        expect(other.get_by_label("Text", exact=True)).to_have_value("Second window")
        (reading,) = Readings(doctor.api.ledger).of_job(job.id)
        assert reading.draft["text"] == "First window"
        other.get_by_role("button", name="Save draft").click()
        expect(other.get_by_role("alert").filter(has_text="Another window of yours")).to_be_hidden()
        other.wait_for_function("() => document.getElementById('text').value === 'Second window'")
    (reading,) = Readings(doctor.api.ledger).of_job(job.id)
    assert reading.draft["text"] == "Second window"


def test_text_outlives_a_session_that_ends_while_it_is_typed(pages: Pages, doctor: Doctor):
    job = doctor.put()
    with signed_in(pages, doctor) as page:
        open_form(page, job)
        page.context.clear_cookies()
        page.get_by_label("Text", exact=True).fill("Typed for long")
        page.get_by_role("button", name="Save draft").click()
        expect(page.get_by_role("alert").filter(has_text="No reader is signed in")).to_be_visible()
        other = page.context.new_page()
        other.goto("/read")
        other.get_by_label("Reader key").fill(doctor.key)
        other.get_by_role("button", name="Sign in").click()
        other.get_by_role("heading", name="Worklist").wait_for()
        page.get_by_role("button", name="Save draft").click()
        expect(page.get_by_role("alert").filter(has_text="No reader is signed in")).to_be_hidden()
        expect(page.get_by_label("Text", exact=True)).to_have_value("Typed for long")
    (reading,) = Readings(doctor.api.ledger).of_job(job.id)
    assert reading.draft["text"] == "Typed for long"


def test_two_views_are_side_by_side_and_a_returned_reading_is_shown(pages: Pages, doctor: Doctor):
    study, members = a_study(2, client=doctor.client)
    jobs = [doctor.put(Mode.ASSISTED, id=job.id, study=study.id) for job in members]
    doctor.api.ledger.accept_study(study, [])
    with signed_in(pages, doctor) as page:
        page.goto(f"/read/{study.id}")
        expect(page.locator(".viewer.full")).to_have_count(2)
        assert not accessibility_faults(page)
        page.get_by_role("link", name="View 1 of 2").click()
        drawn(page)
        page.get_by_role("button", name="Claim").click()
        page.get_by_text("Release or return").click()
        page.get_by_label("Return to the client").select_option("other_view")
        page.get_by_role("button", name="Return", exact=True).click()
        expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
        page.goto(f"/read/{jobs[0].id}")
        drawn(page)
        expect(page.get_by_text("Another view is needed")).to_be_visible()


def test_a_dropped_file_is_sent(pages: Pages, doctor: Doctor):
    with signed_in(pages, doctor) as page:
        page.wait_for_selector(".scripted:not([hidden])")
        page.evaluate(
            """async bytes => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
                document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
            }""",
            list(radiograph(96, 64)),
        )
        expect(page.get_by_role("list", name="Files being sent")).to_contain_text("dropped.png sent")
        expect(page.get_by_role("row", name="no reference")).to_have_count(1)


def test_files_that_wait_keep_the_fields_they_were_chosen_with(pages: Pages, doctor: Doctor):
    held, released = [], []
    with signed_in(pages, doctor) as page:
        page.get_by_text("Send radiographs").click()
        page.route("**/read/jobs", lambda route: route.continue_() if released else held.append(route))
        page.get_by_label("Your reference").fill("visit-17")
        files = [
            {"name": f"{n}.png", "mimeType": "image/png", "buffer": radiograph(96 + n, 64)} for n in range(3)
        ]
        page.get_by_label("Files:").set_input_files(files)
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("list", name="Files being sent")).to_contain_text("is sent")
        page.get_by_label("Your reference").fill("visit-18")
        assert len(held) < 3, "one waits"
        released.append(True)
        for route in held:
            route.continue_()
        expect(page.get_by_role("row", name="visit-17")).to_have_count(3)
    references = {
        doctor.api.ledger.read(job).reference for job in doctor.api.ledger.of_client(doctor.client, None)
    }
    assert references == {"visit-17"}


def test_the_browser_asks_before_it_drops_files_that_wait(pages: Pages, doctor: Doctor):
    asked = []
    with signed_in(pages, doctor) as page:
        page.route("**/read/jobs", lambda _: None)
        page.get_by_text("Send radiographs").click()
        file = {"name": "a.png", "mimeType": "image/png", "buffer": radiograph(96, 64)}
        page.get_by_label("Files:").set_input_files([file])
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("list", name="Files being sent")).to_contain_text("is sent")
        page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        page.evaluate("() => void (location.href = '/read/display')")
        await_that(lambda: asked == ["beforeunload"])
        expect(page.get_by_role("list", name="Files being sent")).to_contain_text("is sent")


def test_text_is_saved_before_a_link_leaves_the_page(pages: Pages, doctor: Doctor):
    job = doctor.put()
    with signed_in(pages, doctor) as page:
        open_form(page, job)
        page.get_by_label("Text", exact=True).fill("Typed just now")
        page.get_by_role("link", name="Worklist").click()
        expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
        (reading,) = Readings(doctor.api.ledger).of_job(job.id)
        assert reading.draft["text"] == "Typed just now"


def test_the_browser_asks_before_it_drops_text_that_is_not_saved(pages: Pages, doctor: Doctor):
    job = doctor.put()
    asked = []
    with signed_in(pages, doctor) as page:
        open_form(page, job)
        page.get_by_label("Text", exact=True).fill("Typed without a connection")
        page.route("**/draft", lambda route: route.abort())
        page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        page.get_by_role("link", name="Worklist").click()
        expect(page.get_by_text("Your text stays here")).to_be_visible()
        expect(page.get_by_label("Text", exact=True)).to_have_value("Typed without a connection")
        assert asked == ["beforeunload"]
        page.unroute("**/draft")
        page.get_by_role("link", name="Worklist").click()
        expect(page.get_by_role("heading", name="Worklist")).to_be_visible()


def test_a_bone_that_is_typed_first_goes_with_the_site_that_is_marked(pages: Pages, doctor: Doctor):
    job = doctor.put()
    with signed_in(pages, doctor) as page:
        open_form(page, job)
        page.get_by_label("Bone").first.fill("distal radius")
        for shift in (0, 80):
            page.get_by_role("button", name="Mark point").click()
            surface = page.get_by_role("application").bounding_box()
            assert surface
            page.mouse.click(
                surface["x"] + surface["width"] / 2 + shift, surface["y"] + surface["height"] / 2
            )
        expect(page.get_by_label("Place")).to_have_count(3)
        expect(page.get_by_label("Bone").first).to_have_value("distal radius")
        expect(page.get_by_label("Bone").nth(1)).to_have_value("")


# 640 x 400 is a window of 1280 x 800 at a zoom of 200 %. The narrowest and the usual size are the cut.
@pytest.mark.parametrize(
    ("width", "height"),
    [
        (360, 740),
        (1280, 800),
        pytest.param(640, 400, marks=pytest.mark.long),
        pytest.param(3840, 2160, marks=pytest.mark.long),
    ],
)
def test_each_page_fits_and_axe_finds_nothing(pages: Pages, doctor: Doctor, width: int, height: int):
    job = doctor.put(reference="left wrist, case 17")
    doctor.put(Mode.ASSISTED, reference="ankle")
    put_job(doctor.api.ledger, None, client=doctor.client, reference="waiting")

    def seen(page: "Page", name: str) -> None:
        if SHOTS:
            page.screenshot(path=SHOTS / f"{name}-{width}.png", full_page=True)
        assert width_of(page) <= width
        assert not accessibility_faults(page)

    with signed_in(pages, doctor, viewport={"width": width, "height": height}) as page:
        page.get_by_text("Send radiographs").click()
        seen(page, "worklist")
        page.goto(f"/read/{job.id}")
        drawn(page)
        seen(page, "waiting")
        page.get_by_role("button", name="Claim").click()
        page.wait_for_selector("#report-form")
        drawn(page)
        seen(page, "blind")
        page.get_by_label("Fracture", exact=True).check()
        page.get_by_label("Place", exact=True).first.fill("100, 100, 60, 50")
        page.get_by_label("Text", exact=True).fill("A step in the cortex of the distal radius.")
        page.get_by_role("button", name="Commit finding").click()
        page.wait_for_selector(".compare")
        drawn(page)
        expect(page.locator("g.region")).to_have_count(2)
        seen(page, "committed")
        page.get_by_label("One-time code").fill(doctor.codes.next())
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("Signed by Dr. Ada Bone")).to_be_visible()
        drawn(page)
        seen(page, "signed")
        page.get_by_text("Amend the report").click()
        seen(page, "amend")


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800)])
def test_the_operators_page_fits_and_axe_finds_nothing(
    pages: Pages, doctor: Doctor, room: Api, width: int, height: int
):
    key, reader = Readers(room.records, 0).create("Olga Operator", frozenset({"operators"}))
    operator = Doctor(room, key, Codes(reader), "operators", "")
    lost = put_job(room.ledger, None, client=doctor.client)
    room.ledger.append(room.ledger.append(lost.started("w", now())).failed("worker-lost", "Lost.", now()))
    put_job(room.ledger, None, client=doctor.client, priority=Priority.STAT)
    with signed_in(pages, operator, viewport={"width": width, "height": height}) as page:
        page.get_by_role("link", name="Operator").click()
        page.get_by_role("heading", name="Dead letters").wait_for()
        page.get_by_text(lost.id).wait_for()
        assert width_of(page) <= width
        assert not accessibility_faults(page)


def test_the_display_test_shows_each_gray_and_each_line_as_it_is(pages: Pages, doctor: Doctor):
    with signed_in(pages, doctor) as page:
        page.goto(f"/read/{doctor.put().id}")
        drawn(page)
        with page.expect_popup() as opened:
            page.get_by_role("link", name="test this one").click()
        test = opened.value
        test.wait_for_load_state()
        assert not accessibility_faults(test)
        picture = test.get_by_role("img", name="Grid")
        assert test.evaluate("() => document.querySelectorAll('script').length") == 0
        box = picture.bounding_box()
        assert box
        left, top = round(box["x"]), round(box["y"])
        with Image.open(BytesIO(test.screenshot(full_page=True))) as shot:
            gray = np.asarray(shot.convert("RGB"))[top : top + 720, left : left + 960]
        assert (gray[..., 0] == gray[..., 1]).all()
        gray = gray[..., 0]
        steps = [gray[157 + 80 * (n // 8), 180 + 75 * (n % 8) + 37] for n in range(16)]
        assert steps == list(range(8, 256, 16))
        assert (gray[360, 250], gray[360, 290]) == (0, 13)
        assert (gray[360, 630], gray[360, 670]) == (255, 242)
        for x, y in ((10, 10), (870, 10), (10, 630), (870, 630), (440, 320)):
            assert sorted(gray[y : y + 2, x + 20]) == [0, 255]
            assert sorted(gray[y + 60, x + 40 : x + 44]) == [0, 0, 255, 255]
        assert (np.diff(gray[465, 180:780].astype(int)) >= 0).all()


def test_a_length_by_a_readers_own_scale_reaches_the_report(pages: Pages, doctor: Doctor):
    from playwright.sync_api import expect

    job = doctor.put(Mode.ASSISTED)
    with signed_in(pages, doctor) as page:
        page.goto(f"/read/{job.id}")
        page.get_by_role("button", name="Claim").click()
        drawn(page)
        surface = page.get_by_role("application")
        page.get_by_role("button", name="Calibrate").click()
        surface.press("Enter")
        page.get_by_label("Its size in mm").fill("25")
        page.get_by_role("button", name="Use this scale").click()
        expect(page.get_by_text("An object of 25 mm, marked by Dr. Ada Bone")).to_be_visible()
        page.get_by_role("button", name="Length").click()
        surface.press("Enter")
        expect(page.get_by_role("button", name="To the report")).to_have_count(1)  # Not of the object.
        page.get_by_role("button", name="To the report").click()
        length = "Length: 25.0 mm in patient (calibrated on 25 mm)"
        measurements = page.get_by_role("group", name="Measurements")
        measurements.get_by_label(length).wait_for()
        expect(measurements.get_by_label(length)).to_be_checked()
        for kind in ("Angle", "Cobb"):
            page.get_by_role("button", name=kind, exact=True).click()
            surface.press("Enter")
            page.get_by_role("button", name="To the report").last.click()
        cobb = measurements.get_by_label("Cobb angle: 0.0° Cobb")
        cobb.wait_for()
        assert not accessibility_faults(page)
        with page.expect_event("load"):
            page.get_by_role("button", name="Save draft").click()
        (reading,) = Readings(doctor.api.ledger).of_job(job.id)
        assert [one["kind"] for one in reading.draft["measurements"]] == ["length", "angle", "cobb"]
        drawn(page)
        cobb.uncheck()
        page.get_by_label("Not sure").check()
        page.get_by_label("One-time code").fill(doctor.codes.next())
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("Signed by Dr. Ada Bone")).to_be_visible()
        (reading,) = Readings(doctor.api.ledger).of_job(job.id)
        first, second = reading.reports[0]["report"]["measurements"]
        assert (first["kind"], first["value"], first["unit"]) == ("length", 25, "mm")
        assert (first["plane"], first["calibration"]["mm"]) == ("calibrated", 25)
        assert first["points"] == first["calibration"]["ends"], "both were placed in the middle"
        assert (second["kind"], second["unit"], second["plane"]) == ("angle", "deg", None)
        signed = page.locator("#report ul").first.get_by_role("listitem")
        expect(signed).to_have_text([length, re.compile(r"Angle: \d+\.\d°")])
        # After the reload the object is still there, and moves by keyboard.
        drawn(page)
        expect(page.locator("[data-part=measures] li")).to_contain_text("Object 1: 25.0 mm in patient")
        page.locator("g.object .handle").last.press("Shift+ArrowRight")
        expect(page.locator("[data-part=measures] li")).not_to_contain_text("25.0 mm")


@dataclass
class Ehr:
    """A page of another system, with what it shows in its frame."""

    url: str
    framed: str = ""


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f'<iframe src="{shown.framed}" width=1200 height=800></iframe>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no line for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        shown = Ehr(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield shown
        server.shutdown()


def test_a_reader_signs_in_and_claims_in_the_frame_of_an_ehr(
    browser: "Browser", servers: Servers, tmp_path: Path, room: Api, doctor: Doctor, ehr: Ehr
):
    from playwright.sync_api import expect

    job = doctor.put()
    settings = {"public_url": "http://localhost", "frame_ancestors": frozenset({ehr.url})}
    with serving(servers, tmp_path, **settings) as (api, _), browser.new_context() as context:
        ehr.framed = f"{api.url}/read/find?id={job.id}&client={job.client}&embed=1"
        page = context.new_page()
        page.goto(ehr.url)
        frame = page.frame_locator("iframe")
        frame.get_by_label("Reader key").fill(doctor.key)
        frame.get_by_role("button", name="Sign in").click()
        frame.get_by_role("button", name="Claim").click()
        expect(frame.get_by_role("button", name="Commit finding")).to_be_visible()
        expect(frame.get_by_role("navigation")).to_have_count(0)
        ehr.framed = f"{room.url}/read/{job.id}?embed=1"
        with page.expect_event("console", lambda message: "frame-ancestors" in message.text):
            page.reload()
