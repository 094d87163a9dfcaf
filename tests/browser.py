"""Debian's Chromium, driven by Playwright, and a page that notes what a page of ours must not do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, LocatorAssertions, Page, Route

CHROMIUM = shutil.which("chromium")
_NEEDED = {
    "chromium (on Debian: apt-get install chromium)": CHROMIUM,
    "playwright (pip install playwright)": find_spec("playwright"),
    "axe-playwright-python (pip install axe-playwright-python)": find_spec("axe_playwright_python"),
}
MISSING = [name for name, found in _NEEDED.items() if not found]
"""What the tests in a browser lack on this machine."""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
    "--use-gl=angle",
    "--use-angle=swiftshader",
]
"""For root, without a network, and with WebGL on the CPU."""
PATIENCE = 15_000
"""Milliseconds after which what should appear does not come any more."""
_REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation", event =>
    window.noteViolation(`${event.violatedDirective}: ${event.blockedURI} (${event.sourceFile})`))"""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Chromium, headless. Playwright keeps an event loop in this thread: call no asyncio.run meanwhile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@dataclass
class Offences:
    """What a page did that no page of ours may do, as texts."""

    violations: list[str] = field(default_factory=list)
    """Of the content security policy."""
    foreign: list[str] = field(default_factory=list)
    """Requests to another origin. They are refused, too."""
    errors: list[str] = field(default_factory=list)
    """Uncaught errors of scripts."""


def expect(shown: "Locator") -> "LocatorAssertions":
    """Playwright's `expect`, which waits; imported on the first call, as a machine may lack it."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    return expect(shown)


@contextmanager
def watched_page(browser: "Browser", origin: str, **options: object) -> Iterator["Page"]:
    """A page in a context of its own, with these `options` of Browser.new_context.

    Fails at its end if the page violated its content policy, asked another origin, or had a script's error.
    """
    found = Offences()
    context = browser.new_context(base_url=origin, **options)  # type: ignore[arg-type]
    context.expose_function("noteViolation", lambda text: found.violations.append(text))
    context.add_init_script(_REPORT_VIOLATIONS)

    def refuse(route: "Route") -> None:
        found.foreign.append(route.request.url)
        route.abort()

    context.route(
        lambda url: (
            urlsplit(url)[:2] != urlsplit(origin)[:2] and urlsplit(url).scheme not in ("blob", "data")
        ),
        refuse,
    )
    page = context.new_page()
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.set_default_timeout(PATIENCE)
    try:
        yield page
        assert found == Offences(), found
    finally:
        context.close()


def width_of(page: "Page") -> int:
    """The width in pixels that the content of a page takes."""
    # The text of a new page is there before its style sheet, without which it is wider.
    page.wait_for_load_state("load")
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


def accessibility_faults(page: "Page") -> list[str]:
    """What axe finds wrong on the page as it now is, a text for each rule and element."""
    from axe_playwright_python.sync_playwright import Axe

    # The text of a new page is there before its style sheet, without which nothing has contrast.
    page.wait_for_load_state("load")
    return [
        f"{rule['id']} ({rule['help']}): {node['html'][:200]} {node['failureSummary']}"
        for rule in Axe().run(page).response["violations"]
        for node in rule["nodes"]
    ]
