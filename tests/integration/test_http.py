"""docs/http.md: its requests work as printed, in their order, and its Python verifies a callback."""

import json
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from standardwebhooks import WebhookVerificationError

from jobs.callbacks.signing import signed, webhook_secret
from jobs.record.job import now
from stack.part import ROOT
from stack.receiver import Receiver
from tests.integration.conftest import SECONDS, Stack
from tests.integration.pages import Newcomer

PAGE = (ROOT / "docs/http.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to run its blocks with")
def test_every_request_of_the_page_works_as_pasted(
    stack: Stack, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OSTEO_URL", stack.ready["api"])
    monkeypatch.setenv("OSTEO_KEY", stack.ready["api_key"])

    def moved(text: str) -> str:
        return text.replace("http://127.0.0.1:9000/callback", receiver.url).replace("/tmp/", f"{tmp_path}/")

    told = Newcomer(PAGE, tmp_path, moved, ExitStack()).run("")
    assert '"finding":"fracture"' in told
    assert "event: job" in told
    job = json.loads((tmp_path / "job.json").read_text())["id"]
    assert receiver.wait_for(job, SECONDS).job["state"] == "succeeded"


def test_the_python_of_the_page_verifies_a_callback_and_no_forged_one():
    block = next(text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "Webhook" in text)
    secret = webhook_secret("a signing key", "clinic")
    body, headers = signed("msg_1", {"type": "webhook.test"}, [secret], now())
    names = {"webhook_secret": secret, "body": body, "headers": headers}
    exec(block, names)
    assert names["event"] == {"type": "webhook.test"}
    with pytest.raises(WebhookVerificationError):
        exec(block, names | {"body": b"{}"})


def test_every_block_of_the_page_is_run_or_checked():
    languages = re.findall(r"^```(\w+)", PAGE, re.MULTILINE)
    assert set(languages) == {"sh", "json", "python", "text"}
    shown = PAGE.count("-->\n```json")
    assert languages.count("json") - shown == 1, "the test event; a JSON of a type names it before the block"
    assert languages.count("text") == 1, "the stream of events"
    assert languages.count("python") == 2, "a callback here; a report in tests/api/readings/test_formats.py"
