"""docs/integrate.md, as a newcomer follows it: from nothing to a verified callback."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack.addresses import free_ports
from stack.part import ROOT
from tests.integration.conftest import Stack, await_that

PAGE = (ROOT / "docs/integrate.md").read_text()
BLOCK = re.compile(
    r"(?:`(?P<file>/tmp/[^`]+)`:\n\n)?```(?P<language>sh|python|js)\n(?P<text>.*?)```", re.DOTALL
)


@dataclass
class Newcomer:
    """Follows the page block by block; what one exports, the next has."""

    folder: Path
    moved: Callable[[str], str]
    background: ExitStack

    def save_files(self) -> None:
        """Every block that the page gives a name is in its file."""
        for block in BLOCK.finditer(PAGE):
            if block["file"]:
                Path(self.moved(block["file"])).write_text(self.moved(block["text"]))

    def run(self, beginning: str) -> str:
        """Run the shell blocks that begin so, and return what they print."""
        blocks = [b["text"] for b in BLOCK.finditer(PAGE) if b["language"] == "sh"]
        text = self.moved("".join(block for block in blocks if block.startswith(beginning)))
        assert text, beginning
        variables = self.folder / "variables"
        script = f"[ ! -e {variables} ] || . {variables}\n{text}\nexport -p > {variables}"
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def start(self, beginning: str, log: Path) -> None:
        """Run a block that stays in the background."""
        (text,) = [b["text"] for b in BLOCK.finditer(PAGE) if b["text"].startswith(beginning)]
        command = self.moved(text).removesuffix("&\n")
        script = f". {self.folder / 'variables'}; exec {command}"
        with log.open("wb") as out:
            process = subprocess.Popen(["bash", "-c", script], cwd=ROOT, stdout=out, stderr=out)
        self.background.callback(process.wait)
        self.background.callback(process.terminate)


@pytest.fixture(scope="module")
def newcomer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("newcomer")
    flask, node = free_ports(2)
    names = {
        "http://127.0.0.1:8000": stack.ready["api"],
        "/tmp/": f"{folder}/",
        "var/": f"{stack.folder}/",
        "9000": str(flask),
        "9001": str(node),
    }

    def moved(text: str) -> str:
        for name, place in names.items():
            text = text.replace(name, place)
        return text

    with ExitStack() as background:
        newcomer = Newcomer(folder, moved, background)
        newcomer.save_files()
        newcomer.run("export OSTEO_URL")
        yield newcomer


def told_of(job_id: str, log: Path) -> Callable[[], bool]:
    """Whether the receiver has printed that a callback about this job is verified."""
    line = re.compile(rf"^verified \S+ job\.succeeded {job_id} .*", re.MULTILINE)
    return lambda: bool(line.search(log.read_text()))


def test_curl_and_python_get_a_verified_callback(newcomer: Newcomer, stack: Stack):
    newcomer.run("python3 -m venv")
    log = newcomer.folder / "flask.log"
    newcomer.start("/tmp/osteo/bin/python /tmp/receiver.py", log)
    await_that(lambda: "Running on" in log.read_text())
    said = newcomer.run("curl")
    assert '"finding"' in said
    assert (newcomer.folder / "overlay.png").read_bytes().startswith(b"\x89PNG")
    (job,) = re.findall(r'"(job_\w+)"', (newcomer.folder / "job.json").read_text())[:1]
    await_that(told_of(job, log))
    assert newcomer.run("/tmp/osteo/bin/python /tmp/send.py").split()[0] in (
        *("fracture", "no_fracture", "indeterminate"),
    )
    await_that(lambda: told_of(of_reference(stack, "visit-18"), log)())


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node on this machine")
def test_javascript_gets_a_verified_callback_and_refuses_a_forged_one(newcomer: Newcomer, stack: Stack):
    log = newcomer.folder / "node.log"
    newcomer.start("node /tmp/receiver.mjs", log)
    url = newcomer.moved("http://127.0.0.1:9001/callback")
    forged = subprocess.run(
        [
            *("curl", "-sS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-d", "{}"),
            *("-H", "webhook-signature: v1,AAAA", "-o", os.devnull, "-w", "%{http_code}", url),
        ],
        capture_output=True,
        text=True,
    )
    assert forged.stdout == "401"
    assert "finding" in newcomer.run("node /tmp/send.mjs")
    await_that(told_of(of_reference(stack, "visit-19"), log))


def of_reference(stack: Stack, reference: str) -> str:
    """The id of the newest job with this reference."""
    jobs = stack.request("GET", "/v1/jobs?limit=100").json()["jobs"]
    return str(next(job["id"] for job in jobs if job["reference"] == reference))


def test_every_block_of_the_page_is_run():
    blocks = list(BLOCK.finditer(PAGE))
    assert PAGE.count("\n```") == 2 * len(blocks), "a block in a language that no test runs"
    tests = Path(__file__).read_text()
    for block in blocks:
        if block["language"] == "sh":
            assert any(f'"{block["text"][:size]}"' in tests for size in range(3, 60)), block["text"]
        else:
            assert block["file"], block["text"]
