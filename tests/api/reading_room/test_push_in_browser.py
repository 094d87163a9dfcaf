"""A reader turns notices on and off in a real browser, which shows what the service's worker sends."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from jobs.reading.reader import Reader
from jobs.reading.readers import Readers
from jobs.settings import Settings
from jobs.web_push.subscriptions import PushSubscriptions, from_base64url
from jobs.web_push.vapid import Vapid
from tests.api.conftest import Api, serving
from tests.browser import accessibility_faults, watched_page, width_of
from tests.conftest import SIGNING_KEY, Servers, await_that
from tests.worker.conftest import Receiver, receiver
from tests.worker.notices.conftest import Browser as Subscriber
from tests.worker.notices.conftest import a_reading, tell
from worker.notices.notify import NoticeContext

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response

__all__ = ["receiver"]

BEGIN, END = "Notify me when a reading waits", "Stop notifying me"
ADDRESS = "osteo@osteo.example"
WORKERS = """async () => (await navigator.serviceWorker.getRegistrations())
    .map(({scope, active}) => [new URL(scope).pathname, new URL(active.scriptURL).pathname])"""
SHOWN = """async () => (await (await navigator.serviceWorker.getRegistration("/read")).getNotifications())
    .map(({title, body, icon, image, data}) => [title, body, icon, image ?? "", data])"""
PUSH_SERVICE = """
const base64 = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const subscription = made => ({...made, toJSON: () => made, unsubscribe: async () => {
    delete localStorage.made;
    return true;
}});
PushManager.prototype.getSubscription = async () =>
    localStorage.made ? subscription(JSON.parse(localStorage.made)) : null;
PushManager.prototype.subscribe = async ({applicationServerKey, userVisibleOnly}) => {
    const pair = await crypto.subtle.generateKey({name: "ECDH", namedCurve: "P-256"}, true, ["deriveBits"]);
    const p256dh = base64(await crypto.subtle.exportKey("raw", pair.publicKey));
    localStorage.given = JSON.stringify({applicationServerKey, userVisibleOnly});
    localStorage.secret = (await crypto.subtle.exportKey("jwk", pair.privateKey)).d;
    const made = {endpoint: "ENDPOINT", expirationTime: null, keys: {p256dh, auth: "AUTH"}};
    localStorage.made = JSON.stringify(made);
    return subscription(made);
};
"""
"""What a browser's own push service does, with a key of this page's and the endpoint of the test."""
AUTH = "MDEyMzQ1Njc4OWFiY2RlZg"
CLICK = """async () => {
    const notification = {close() { did.push("close"); }}, did = [];
    clients.openWindow = async url => did.push(`open ${url}`);
    WindowClient.prototype.focus = async function () { did.push(`focus ${this.url}`); };
    const waitUntil = done => event.done = done;
    const event = Object.assign(new Event("notificationclick"), {notification, waitUntil});
    dispatchEvent(event);
    await event.done;
    return did;
}"""
"""A click on a notification: no browser without a screen has one, and only a real one may open a window."""
CHANGE = """async keys => {
    const made = {endpoint: keys.endpoint, toJSON: () => ({endpoint: keys.endpoint, keys})};
    PushManager.prototype.subscribe = async () => made;
    const event = Object.assign(new Event("pushsubscriptionchange"), {waitUntil: done => event.done = done});
    dispatchEvent(event);
    await event.done;
}"""

Pages = Callable[..., AbstractContextManager["Page"]]


@dataclass
class Doctor:
    """A reader of a group of the test's own."""

    api: Api
    key: str
    reader: Reader
    group: str

    @property
    def subscriptions(self) -> list[str]:
        """The endpoints at which this reader is told."""
        return [kept.endpoint for kept in PushSubscriptions(self.api.records).of(self.reader.id)]


def a_doctor(api: Api) -> Doctor:
    group = f"msk-{uuid4().hex[:8]}"
    key, reader = Readers(api.records, 0).create("Dr. Ada Bone", frozenset({group}))
    return Doctor(api, key, reader, group)


@pytest.fixture(scope="module")
def room(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    exceptions = ("env", "OSTEO_CALLBACK_EXCEPTIONS=127.0.0.1")
    changed = {"public_url": "http://localhost", "mail_from": ADDRESS}
    with serving(servers, tmp_path_factory.mktemp("room"), within=exceptions, **changed) as (api, _):
        yield api


@pytest.fixture
def doctor(room: Api) -> Doctor:
    return a_doctor(room)


@pytest.fixture
def pages(browser: "Browser", room: Api) -> Pages:
    return partial(watched_page, browser, room.url)


@contextmanager
def signed_in(pages: Pages, doctor: Doctor, endpoint: str | None = None, **options: Any) -> Iterator["Page"]:
    """A page at the worklist. With an `endpoint` the browser has a push service, which gives this one."""
    with pages(**options) as page:
        if endpoint:
            page.context.grant_permissions(["notifications"])
            page.add_init_script(PUSH_SERVICE.replace("ENDPOINT", endpoint).replace("AUTH", AUTH))
        sign_in(page, doctor)
        yield page


def sign_in(page: "Page", doctor: Doctor) -> None:
    page.goto("/read")
    page.get_by_label("Reader key").fill(doctor.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Worklist").wait_for()


def press(page: "Page", name: str, then: str) -> None:
    """Press a button by keyboard, and wait until this is said of it."""
    button = page.get_by_role("button", name=name)
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text=then).wait_for()


def no_button(page: "Page", doctor: Doctor) -> "Response":
    """Check that the worklist has no button for notices. Returns the service's answer to its script."""
    with page.expect_response("**/read/push") as state:
        sign_in(page, doctor)
    state.value.finished()
    page.evaluate("new Promise(requestAnimationFrame)")
    assert page.locator("#push").is_hidden()
    return state.value


def test_a_reader_is_told_by_an_encrypted_message_and_ends_it(
    pages: Pages, doctor: Doctor, settings: Settings, receiver: Receiver
):
    from playwright.sync_api import expect

    with signed_in(pages, doctor, receiver.url) as page:
        expect(page.get_by_role("button", name=BEGIN)).to_be_visible()
        assert page.evaluate(WORKERS) == []
        press(page, BEGIN, "This browser tells you")
        expect(page.get_by_role("button", name=END)).to_be_focused()
        assert page.evaluate(WORKERS) == [["/read", "/read/static/push.js"]]
        assert doctor.subscriptions == [receiver.url]
        given = json.loads(page.evaluate("localStorage.given"))
        assert given == {"applicationServerKey": Vapid(SIGNING_KEY).public_key, "userVisibleOnly": True}

        a_reading(doctor.api.ledger, groups=(doctor.group,))
        told = replace(settings, mail_from=ADDRESS)
        tell(NoticeContext.of(told, doctor.api.ledger))
        secret = int.from_bytes(from_base64url(page.evaluate("localStorage.secret")), "big")
        key = ec.derive_private_key(secret, ec.SECP256R1())
        assert Subscriber(receiver, key).messages() == ["A reading waits."]

        page.reload()
        expect(page.get_by_role("button", name=END)).to_be_visible()
        press(page, END, "no longer tells you")
        expect(page.get_by_role("button", name=BEGIN)).to_be_focused()
        assert doctor.subscriptions == []
        assert page.evaluate("localStorage.made") is None


@pytest.mark.parametrize("data", ["A reading waits.", "", '{"title": "Erika Mustermann", "body": "wrist"}'])
def test_a_push_shows_one_text_whatever_it_says(pages: Pages, doctor: Doctor, receiver: Receiver, data: str):
    with signed_in(pages, doctor, receiver.url) as page:
        cdp = page.context.new_cdp_session(page)
        known: list[dict] = []
        cdp.on("ServiceWorker.workerRegistrationUpdated", lambda event: known.extend(event["registrations"]))
        cdp.send("ServiceWorker.enable")
        press(page, BEGIN, "This browser tells you")
        (identity,) = {one["registrationId"] for one in known if one["scopeURL"] == f"{doctor.api.url}/read"}
        push = {"origin": doctor.api.url, "registrationId": identity, "data": data}
        for _ in range(2):
            cdp.send("ServiceWorker.deliverPushMessage", push)
        # The second notice replaces the first: for a moment there is none.
        await_that(lambda: page.evaluate(SHOWN) == [["A reading waits.", "", "", "", None]])
        assert page.evaluate("caches.keys()") == []


def test_a_click_goes_to_the_worklist_and_opens_one_where_none_is(
    pages: Pages, doctor: Doctor, receiver: Receiver
):
    with signed_in(pages, doctor, receiver.url) as page:
        press(page, BEGIN, "This browser tells you")
        (worker,) = page.context.service_workers
        page.goto("/read?mine=1")
        assert worker.evaluate(CLICK) == ["close", f"focus {doctor.api.url}/read?mine=1"]
        page.goto("/read/nowhere")
        assert worker.evaluate(CLICK) == ["close", f"open {doctor.api.url}/read"]


def test_a_subscription_that_the_browser_replaces_is_told_to_the_service(
    pages: Pages, doctor: Doctor, receiver: Receiver
):
    with signed_in(pages, doctor, receiver.url) as page:
        press(page, BEGIN, "This browser tells you")
        (worker,) = page.context.service_workers
        keys = json.loads(page.evaluate("localStorage.made"))["keys"]
        worker.evaluate(CHANGE, keys | {"endpoint": f"{receiver.url}&later"})
        assert doctor.subscriptions == [f"{receiver.url}&later"]
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        worker.evaluate(CHANGE, keys | {"endpoint": f"{receiver.url}&last"})
    assert doctor.subscriptions == []


def test_signing_out_ends_it_and_the_next_reader_finds_it_off(
    pages: Pages, doctor: Doctor, receiver: Receiver
):
    from playwright.sync_api import expect

    with signed_in(pages, doctor, receiver.url) as page:
        press(page, BEGIN, "This browser tells you")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        assert doctor.subscriptions == []
        assert page.evaluate("localStorage.made")
        sign_in(page, a_doctor(doctor.api))
        expect(page.get_by_role("button", name=BEGIN)).to_be_visible()
        assert page.evaluate("localStorage.made") is None


def test_a_browser_that_forbids_notifications_says_what_to_do(pages: Pages, doctor: Doctor):
    with signed_in(pages, doctor) as page:
        press(page, BEGIN, "Allow them in its settings for this site, then press the button again.")
        assert page.evaluate(WORKERS) == []
        page.get_by_role("button", name=BEGIN).wait_for()
    assert doctor.subscriptions == []


def test_a_push_service_that_does_not_answer_is_told(pages: Pages, doctor: Doctor):
    with signed_in(pages, doctor) as page:
        page.context.grant_permissions(["notifications"])
        press(page, BEGIN, "That did not work.")  # This browser reaches no push service.
        page.get_by_role("button", name=BEGIN).wait_for()
    assert doctor.subscriptions == []


def test_a_private_endpoint_is_refused_and_the_button_stays_off(pages: Pages, doctor: Doctor):
    with signed_in(pages, doctor, "https://10.0.0.1/push") as page:
        press(page, BEGIN, "That did not work.")
        page.get_by_role("button", name=BEGIN).wait_for()
    assert doctor.subscriptions == []


@pytest.mark.parametrize(
    "lacking",
    ["delete window.PushManager", "Object.defineProperty(navigator, 'serviceWorker', {value: undefined})"],
)
def test_a_browser_without_push_has_no_button(pages: Pages, doctor: Doctor, lacking: str):
    with pages() as page:
        page.add_init_script(lacking)
        no_button(page, doctor)


def test_a_service_without_an_address_for_push_services_has_no_button(
    browser: "Browser", servers: Servers, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("room")
    with (
        serving(servers, folder, public_url="http://localhost") as (api, _),
        watched_page(browser, api.url) as page,
    ):
        assert no_button(page, a_doctor(api)).json()["public_key"] is None


@pytest.mark.parametrize("width", [360, 1280])
def test_the_button_fits_and_axe_finds_nothing(pages: Pages, room: Api, width: int, receiver: Receiver):
    doctor = a_doctor(room)
    Readers(room.records, 0).set_quiet(doctor.reader.id, "22:00-07:00 Europe/Berlin")
    viewport = {"width": width, "height": 740}
    with signed_in(pages, doctor, receiver.url, viewport=viewport) as page:
        page.get_by_text("Quiet hours: 22:00-07:00 Europe/Berlin.").wait_for()
        for name, then in ((BEGIN, "This browser tells you"), (END, "no longer tells you")):
            press(page, name, then)
            assert width_of(page) <= width
            assert not accessibility_faults(page)
        page.screenshot(path=f"/tmp/push-{width}.png", full_page=True)
