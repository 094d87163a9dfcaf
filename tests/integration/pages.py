"""A page of the documentation as a newcomer follows it: its blocks, saved and run as they stand there."""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.part import ROOT

BLOCK = re.compile(
    r"(?:`(?P<file>/tmp/[^`]+)`:\n\n)?```(?P<language>sh|python|js)\n(?P<text>.*?)```", re.DOTALL
)


@dataclass
class Newcomer:
    """Follows `page` block by block; what one exports, the next has."""

    page: str
    folder: Path
    moved: Callable[[str], str]
    background: ExitStack

    def save_files(self) -> None:
        """Every block that the page gives a name is in its file."""
        for block in BLOCK.finditer(self.page):
            if block["file"]:
                Path(self.moved(block["file"])).write_text(self.moved(block["text"]))

    def run(self, beginning: str) -> str:
        """Run the shell blocks that begin so, and return what they print."""
        blocks = [b["text"] for b in BLOCK.finditer(self.page) if b["language"] == "sh"]
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
        (text,) = [b["text"] for b in BLOCK.finditer(self.page) if b["text"].startswith(beginning)]
        command = self.moved(text).removesuffix("&\n")
        script = f". {self.folder / 'variables'}; exec {command}"
        with log.open("wb") as out:
            process = subprocess.Popen(["bash", "-c", script], cwd=ROOT, stdout=out, stderr=out)
        self.background.callback(process.wait)
        self.background.callback(process.terminate)


@contextmanager
def following(page: str, folder: Path, places: Mapping[str, str]) -> Iterator[Newcomer]:
    """Follow a page in `folder`, which stands for /tmp/. `places` are what other names of the page stand for.

    The named blocks are saved, and what runs in the background is ended.
    """

    def moved(text: str) -> str:
        for name, place in {"/tmp/": f"{folder}/", **places}.items():
            text = text.replace(name, place)
        return text

    with ExitStack() as background:
        newcomer = Newcomer(page, folder, moved, background)
        newcomer.save_files()
        yield newcomer


def unrun_blocks(page: str, test: Path, python: str) -> list[str]:
    """Return the blocks that a test of the page does not run; blocks of JSON and of text are no commands.

    A shell block is run where the test names how it begins, with `{PYTHON}` for `python`. A file is run where
    the page calls it, if it is Python.
    """
    blocks = list(BLOCK.finditer(page))
    others = len(re.findall(r"^```(?:json|text)$", page, re.MULTILINE))
    assert page.count("\n```") == 2 * (len(blocks) + others), "a block in a language that no test runs"
    commands = test.read_text().replace("{PYTHON}", python).replace("'", '"')

    def is_run(block: re.Match[str]) -> bool:
        if block["language"] == "sh":
            return any(f'"{block["text"][:size]}"' in commands for size in range(3, 60))
        return bool(block["file"]) and (block["language"] != "python" or f" {block['file']}" in page)

    return [block["text"] for block in blocks if not is_run(block)]
