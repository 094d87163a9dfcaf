"""Makes the pictures of docs/reading.md from a running service: `python -m tests.screenshots READY.json`."""

import json
import sys
from pathlib import Path
from typing import Any

import pyotp
import urllib3
from playwright.sync_api import Page

from tests.browser import chromium

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "IMG0000319.jpg"
WISH = {
    "read": "requested",
    "question": "Fracture of the forearm?",
    "priority": "stat",
    "reference": "visit-29",
}


def main() -> None:
    """Submit the example X-ray, read it blind, sign, and take a picture of each step."""
    ready = json.loads(Path(sys.argv[1]).read_text())
    job = _submitted(ready)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(f"{ready['reading_room']}/sign-in")
        page.fill("input[name=key]", ready["reader_key"])
        page.click("main button")
        page.wait_for_selector("table")
        _keep(page, "worklist")
        page.goto(f"{ready['reading_room']}/{job}")
        page.click("button:has-text('Claim')")
        page.check("input[value=fracture]")
        page.fill("textarea[name=text]", "Fracture of the distal radius.")
        page.wait_for_selector("text=full")
        _keep(page, "blind")
        page.click("button:has-text('Commit finding')")
        page.wait_for_selector("text=AI, not reviewed")
        page.wait_for_selector("text=full")
        _keep(page, "answer")
        page.fill("input[name=code]", pyotp.TOTP(ready["totp_secret"]).now())
        page.click("button.main:has-text('Sign')")
        page.wait_for_selector("text=Amend")
        _keep(page, "signed")


def _submitted(ready: dict[str, Any]) -> str:
    headers = {"Authorization": f"Bearer {ready['api_key']}", "Prefer": "wait=30"}
    fields = {"image": (EXAMPLE.name, EXAMPLE.read_bytes()), **WISH}
    answer = urllib3.request("POST", f"{ready['api']}/v1/jobs", headers=headers, fields=fields)
    return str(answer.json()["id"])


def _keep(page: Page, name: str) -> None:
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=ROOT / "docs" / f"reading-{name}.png")


if __name__ == "__main__":
    main()
