"""Runs a service of docker-compose.yml by bubblewrap, as its image and its entry there say."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from stack.part import ROOT
from tests.compose.dockerfile import Image, copy
from tests.compose.images import STAGES, described, user_of

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
USERS = {"redis": "999:1000"}
"""The user of an image, by number."""
CGROUPS = Path("/sys/fs/cgroup")
NEEDS = ("bwrap", "setpriv", "unshare", "ip")
_VENV, _PYTHON = (os.path.realpath(path) for path in (ROOT / ".venv", sys.base_prefix))
_MARK = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def interpolated(text: str, values: dict[str, str]) -> str:
    """Put values for names, as Compose does. Raises KeyError for one that is required and missing."""

    def value(mark: re.Match[str]) -> str:
        name, kind, default = mark.groups()
        if name is None:
            return "$"
        if kind == "-":
            return values.get(name) or interpolated(default, values)
        return values[name]

    # A default may itself have a name in it: the outer braces are matched last.
    inner = re.sub(r"(?<=:-)([^{}]*)\$\{(\w+):-([^{}]*)\}", lambda m: m[1] + (values.get(m[2]) or m[3]), text)
    return _MARK.sub(value, inner)


def copied_image(target: str, folder: Path) -> None:
    """Copy to `folder` what the Dockerfile copies into an image from this repository."""
    for instruction in STAGES[target][1]:
        if instruction.name == "COPY" and not instruction.options:
            copy(instruction, Image(folder, {}), ROOT)


class Service:
    """One service. Its files lie in `folder`; `stand_ins` has programs that this machine lacks.

    `images` is a folder with the images of deploy/Dockerfile; without it this machine's Debian and the
    environment of the tests are in their place.
    """

    def __init__(
        self, name: str, folder: Path, stand_ins: Path, values: dict[str, str], images: Path | None = None
    ) -> None:
        self.name = name
        self.entry = SERVICES[name]
        self.log = folder / f"{name}.log"
        self._folder, self._stand_ins, self._values = folder, stand_ins, values
        self._process: subprocess.Popen[bytes] | None = None
        self._image: Image | None = None
        if "build" in self.entry:
            target = self.entry["build"]["target"]
            self._image = described(target, images or folder)
            if not self._image.root.exists():
                copied_image(target, self._image.root)
        self._whole = self._image is not None and images is not None
        (folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join(SERVICES)}\n")

    def start(self) -> None:
        """Run its command."""
        command = self.entry.get("command") or (self._image.command if self._image else ())
        words = [*self.entry.get("entrypoint", []), *command]
        words = [word.replace("/usr/bin/weed", "/opt/venv/bin/weed") for word in words]
        with self.log.open("ab") as log:
            # As an engine does: programs open /dev/stderr anew.
            os.fchown(log.fileno(), *self._user())
            self._process = subprocess.Popen(self._within(words), stdout=log, stderr=log)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in another copy of it, which sees the same network, as `exec` does."""
        return subprocess.run(self._within(list(words)), capture_output=True, text=True)

    def lives(self) -> bool:
        """Return True. Raises SystemExit, with the end of its log, where it has ended."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise SystemExit(f"{self.name} has ended: {self.log.read_text()[-3000:]}")
        return True

    def is_well(self) -> bool:
        """Ask what its health check asks. Raises SystemExit where it has ended."""
        self.lives()
        kind, *test = self.entry["healthcheck"]["test"]
        return self.run(*(["sh", "-c", *test] if kind == "CMD-SHELL" else test)).returncode == 0

    def stop(self) -> int:
        """Send it SIGTERM, as the init of its container does, and return its exit status."""
        assert self._process is not None
        pid = str(self._process.pid)
        # bwrap, the first process of the sandbox, and the service.
        for _ in range(2):
            (pid, *_others) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(pid), signal.SIGTERM)
        return self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _user(self) -> tuple[int, int]:
        user, group = USERS.get(self.entry["user"], self.entry["user"]).split(":")
        return int(user), int(group)

    def _within(self, words: list[str]) -> list[str]:
        user, group = self._user()
        drop = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
        drop += ["--bounding-set=-all", "--inh-caps=-all"]
        command = [interpolated(word, self._values) for word in words]
        return [*self._limits(), "bwrap", *self._sandbox(user, group), *drop, *command]

    def _limits(self) -> list[str]:
        """Make control groups of memory and processes, and return what enters them."""
        memory = self.entry["mem_limit"]
        limit = int(memory[:-1]) << {"m": 20, "g": 30}[memory[-1]]
        script = ""
        for kind, file, most in (
            ("memory", "memory.limit_in_bytes", limit),
            ("pids", "pids.max", self.entry["pids_limit"]),
        ):
            group = CGROUPS / kind / f"osteo-compose-{os.getpid()}-{self.name}"
            with suppress(OSError):
                group.mkdir(exist_ok=True)
                (group / file).write_text(str(most))
                script += f"echo $$ > {group}/cgroup.procs; "
        return ["sh", "-c", f'{script}exec "$@"', "sh"]

    def _sandbox(self, user: int, group: int) -> list[str]:
        words = [
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--hostname",
            self.name,
            "--die-with-parent",
        ]
        words += ["--cap-drop", "ALL"]
        for capability in ("SETUID", "SETGID", "SETPCAP"):
            words += ["--cap-add", f"CAP_{capability}"]
        words += self._root_of_image() if self._whole else self._root_of_this_machine()
        words += ["--ro-bind", str(self._folder / "hosts"), "/etc/hosts", "--dev", "/dev", "--proc", "/proc"]
        for volume in self.entry.get("volumes", []):
            source, place, *mode = volume.split(":")
            path = ROOT / source if source.startswith(".") else self._folder / source
            if not source.startswith("."):
                path.mkdir(exist_ok=True)
                os.chown(path, user, group)
            words += ["--ro-bind" if mode else "--bind", str(path), place]
        if self._image:
            words += ["--chdir", self._image.workdir]
        for place in self.entry["tmpfs"]:
            path, size = place.split(":size=")
            most = int(size[:-1]) << {"m": 20, "g": 30}[size[-1]]
            words += ["--perms", "1777", "--size", str(most), "--tmpfs", path]
        if self.entry.get("read_only"):
            words += ["--remount-ro", "/"]
        environment = {"PATH": "/opt/venv/bin:/opt/stand-ins:/usr/sbin:/usr/bin", "HOME": "/tmp"}
        environment |= self._image.environment if self._image else {}
        given = self.entry.get("environment", {})
        environment |= {name: interpolated(text, self._values) for name, text in given.items()}
        words.append("--clearenv")
        for name, value in environment.items():
            words += ["--setenv", name, value]
        return words

    def _root_of_image(self) -> list[str]:
        assert self._image
        assert user_of(self._image) == self.entry["user"], "the image and docker-compose.yml name two users"
        return ["--ro-bind", str(self._image.root), "/"]

    def _root_of_this_machine(self) -> list[str]:
        words = []
        for name in ("bin", "sbin", "lib", "lib64"):
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        # Programs of the environment name the place where it was made.
        places = {"/usr": "/usr", _VENV: _VENV, _PYTHON: _PYTHON, str(self._stand_ins): "/opt/stand-ins"}
        # Folders that bubblewrap makes by itself are closed to other users.
        volumes = [volume.split(":")[1] for volume in self.entry.get("volumes", [])]
        made = ["/srv/osteo", "/etc/hosts", *places.values(), *volumes]
        parents = {parent for place in made for parent in Path(place).parents}
        for parent in sorted(parents - {Path("/"), Path("/usr")}):
            words += ["--perms", "0755", "--dir", str(parent)]
        for source, place in {**places, **self._copied()}.items():
            words += ["--ro-bind", source, place]
        return [*words, "--ro-bind", _VENV, "/opt/venv"]

    def _copied(self) -> dict[str, str]:
        return {str(self._image.root): self._image.workdir} if self._image else {}
