"""docs/reading.md: a new reader follows it in a browser, from a submission to a signed report."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from stack.part import ROOT
from tests.browser import MISSING, chromium
from tests.integration.conftest import Stack
from tests.integration.pages import Newcomer

PAGE = (ROOT / "docs/reading.md").read_text()


@pytest.mark.skipif(bool(MISSING), reason=f"NO READER READ ANYTHING: there is no {', '.join(MISSING)}")
def test_a_new_reader_follows_the_page_to_a_signed_report(stack: Stack, tmp_path: Path):
    ready = stack.ready

    def moved(text: str) -> str:
        here = text.replace("http://127.0.0.1:8000", ready["api"]).replace("var/", f"{stack.folder}/")
        return here.replace(".venv/bin/python", sys.executable)

    newcomer = Newcomer(PAGE, tmp_path, moved, ExitStack())
    newcomer.run("export OSTEO_URL")
    job = json.loads(newcomer.run("curl").strip())["id"]
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{ready['reading_room']}")
        page.fill("input[name=key]", ready["reader_key"])
        page.click("main button")
        page.wait_for_selector("text=visit-29")
        page.goto(f"{ready['reading_room']}/{job}")
        page.click("button:has-text('Claim')")
        page.check("input[value=fracture]")
        page.click("button:has-text('Commit finding')")
        page.wait_for_selector("text=AI, not reviewed")
        stack.await_unused_code()
        code = newcomer.run(".venv").split()[-1]
        page.fill("input[name=code]", code)
        page.click("button.main:has-text('Sign')")
        page.wait_for_selector("text=Amend")
    answer = stack.request("GET", f"/v1/jobs/{job}/readings")
    (reading,) = answer.json()["readings"]
    assert (reading["state"], reading["report"]["finding"]) == ("signed", "fracture")
    assert reading["committed"]["blind"] is False, "it sends X-rays for its client as well"
    assert reading["history"][-1]["type"] == "signed"
