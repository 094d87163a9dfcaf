"""Reads a Dockerfile and follows it: stages, what their images are like, and what is copied into them.

What this module does not know is refused, never passed over.
"""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path, PurePosixPath
from string import Template

from stack.part import ROOT

KNOWN = ("FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "CMD")


class Unknown(Exception):
    """The Dockerfile has something that is not known here."""


@dataclass(frozen=True)
class Instruction:
    """One instruction, in one line: its name, its options, and the rest."""

    name: str
    options: tuple[str, ...]
    rest: str

    @property
    def words(self) -> list[str]:
        """The words of the rest."""
        return shlex.split(self.rest)


@dataclass(frozen=True)
class Image:
    """An image: where its root lies, and how its processes begin."""

    root: Path
    environment: Mapping[str, str]
    workdir: str = "/"
    user: str = "root"
    command: tuple[str, ...] = ()

    def after(self, instruction: Instruction) -> "Image":
        """Return what an instruction makes of it, but for its files."""
        match instruction.name:
            case "ENV":
                made = dict(word.split("=", 1) for word in instruction.words)
                # All values of one instruction see the environment before it.
                values = {name: Template(value).substitute(self.environment) for name, value in made.items()}
                return replace(self, environment={**self.environment, **values})
            case "WORKDIR":
                return replace(self, workdir=str(PurePosixPath(self.workdir, instruction.rest)))
            case "USER":
                return replace(self, user=instruction.rest)
            case "CMD":
                return replace(self, command=tuple(json.loads(instruction.rest)))
        return self

    def inside(self, place: str) -> Path:
        """Return where a path of the image lies on this machine. A relative one begins in its folder."""
        return self.root / PurePosixPath(self.workdir, place).relative_to("/")


def stages(text: str) -> dict[str, tuple[str, list[Instruction]]]:
    """Read all stages by name: what each starts from, and its instructions. Raises Unknown."""
    # Comments may stand within an instruction that goes on.
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    found: dict[str, tuple[str, list[Instruction]]] = {}
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        if not line.strip():
            continue
        instruction = _instruction(line.strip())
        if instruction.name == "FROM":
            begun = re.fullmatch(r"(\S+) AS (\S+)", instruction.rest)
            if not begun:
                raise Unknown(line)
            own: list[Instruction] = []
            found[begun[2]] = (begun[1], own)
        elif not found:
            raise Unknown(f"{line}: before the first FROM")
        else:
            own.append(instruction)
    return found


def _instruction(line: str) -> Instruction:
    name, _, rest = line.partition(" ")
    options = tuple(takewhile(lambda word: word.startswith("--"), rest.split()))
    from_stage = name == "COPY" and len(options) == 1 and options[0].startswith("--from=")
    exec_form = rest.startswith("[")
    if name not in KNOWN or (options and not from_stage) or exec_form != (name == "CMD"):
        raise Unknown(line)
    return Instruction(name, options, rest.removeprefix("".join(options)).strip())


def copy(instruction: Instruction, image: Image, source: Path, link: bool = False) -> None:
    """Copy what a COPY names from `source`; `link` makes hard links. Raises Unknown for what is not there.

    From this repository only what `.dockerignore` lets pass is copied.
    """
    *patterns, place = instruction.words
    target = image.inside(place)
    into_folder = place.endswith("/") or len(patterns) > 1
    passes: Callable[[Path], bool] = _reaches_the_builder if source == ROOT else lambda _: True
    for pattern in patterns:
        paths = [path for path in sorted(source.glob(pattern.lstrip("/"))) if passes(path)]
        if not paths:
            raise Unknown(f"COPY {pattern}: there is nothing that .dockerignore lets pass")
        for path in paths:
            if path.is_dir():
                shutil.copytree(
                    path,
                    target,
                    symlinks=True,
                    dirs_exist_ok=True,
                    ignore=lambda folder, names: [n for n in names if not passes(Path(folder, n))],
                    copy_function=os.link if link else shutil.copy,
                )
            else:
                copied = target / path.name if into_folder else target
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copied)


def _reaches_the_builder(path: Path) -> bool:
    """Return what the last line of .dockerignore says that fits the path, or a folder that it lies in."""
    inside = path.relative_to(ROOT)
    passes = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line.startswith("#") or not line:
            continue
        for name in (inside, *inside.parents[:-1]):
            depth = len(name.parts) if pattern.startswith("**/") else pattern.count("/") + 1
            text = name.name if pattern.startswith("**/") else str(name)
            if len(name.parts) == depth and fnmatchcase(text, pattern.removeprefix("**/")):
                passes = line.startswith("!")
    return passes
