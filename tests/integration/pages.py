"""A page of the documentation as a newcomer follows it: its blocks, saved and run as they stand there."""

import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
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
