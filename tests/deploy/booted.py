"""A small Debian in namespaces of its own, in which systemd is process 1 (boot.sh)."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 60
PROGRAMS = ("/usr/lib/systemd/systemd", "unshare", "nsenter", "setpriv")


class Booted:
    """The Debian as its root sees it."""

    def __init__(self, pid: int) -> None:
        within = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")
        environment = ("env", "-i", "PATH=/usr/local/sbin:/usr/sbin:/usr/bin", "HOME=/root")
        self._bash = [
            "nsenter",
            "--target",
            str(pid),
            *within,
            *environment,
            "bash",
            "-euo",
            "pipefail",
            "-c",
        ]

    def run(self, script: str) -> str:
        """What a script of bash prints; it has to end well."""
        ran = subprocess.run([*self._bash, script], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return ran.stdout

    def says(self, unit: str, name: str) -> str:
        """One property of a unit, as systemd has it now."""
        return self.run(f"systemctl show --property={name} --value '{unit}'").strip()


@contextmanager
def booted(folder: Path) -> Iterator[Booted]:
    """Boot it, with `folder`/etc over the files of its /etc. Skips where this machine cannot."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing or os.geteuid():
        pytest.skip(f"NO UNIT WAS RUN BY SYSTEMD: this needs root, and lacks {missing}")
    mounted = {os.path.realpath(sys.base_prefix), os.path.realpath(ROOT / ".venv"), str(ROOT)}
    outside = [path for path in sorted(mounted) if not path.startswith("/usr/")]
    log = folder / "boot.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"),
                *("bash", ROOT / "tests/deploy/boot.sh", folder, ROOT, *outside),
            ],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Booted(_first(process, log))
    finally:
        process.kill()
        process.wait()


def _first(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """The number outside of its process 1, once that is systemd and answers."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
            first = ("--target", children[0], "--mount", "--pid", "--cgroup")
            asked = ["nsenter", *first, "systemctl", "is-active", "default.target"]
            said = subprocess.run(asked, capture_output=True, text=True).stdout
            if said == "active\n":
                return int(children[0])
        time.sleep(0.1)
    pytest.skip(f"NO UNIT WAS RUN BY SYSTEMD: it does not boot here: {log.read_text()[-2000:]}")
