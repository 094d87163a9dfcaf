"""Reads the units of deploy/systemd as systemd does: a unit, and then what all.conf sets over it."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/systemd"
HOME = "/opt/osteo"
"""Where docs/deploy.md puts the repository."""
UNITS = {path.stem.removeprefix("osteo-").removesuffix("@"): path for path in FOLDER.glob("osteo-*.service")}
"""The file of each role's unit."""
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"),
    reason="NO UNIT WAS CHECKED: systemd-analyze is missing. On Debian: apt-get install systemd",
)


def unit(role: str) -> dict[str, list[str]]:
    """The values of each name in a unit, in the order in which systemd reads them."""
    values: dict[str, list[str]] = {}
    for file in (UNITS[role], FOLDER / "osteo-.service.d/all.conf"):
        for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", file.read_text(), re.MULTILINE):
            values.setdefault(name, []).append(value)
    return values


def credentials(role: str) -> dict[str, Path]:
    """The file of each credential that a unit is given."""
    given = (entry.split(":") for entry in unit(role).get("LoadCredential", []))
    return {name: Path(file) for name, file in given}


def command(role: str) -> tuple[list[str], list[str]]:
    """The files whose variables a unit's command is given, and the command itself."""
    (line,) = unit(role)["ExecStart"]
    files, _, words = line.partition(" -- ")
    launcher, *names = files.split()
    assert launcher == f"{HOME}/deploy/systemd/with-files"
    return [name.removeprefix("%d/") for name in names], words.split()


def installed(folder: Path, changed: dict[str, str]) -> Path:
    """Copy the units to `folder` with texts `changed` in them."""
    for file in (*FOLDER.glob("osteo*.service"), FOLDER / "osteo.target", *FOLDER.glob("*/*.conf")):
        text = file.read_text()
        for old, new in changed.items():
            text = text.replace(old, new)
        copy = folder / file.relative_to(FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    return folder
