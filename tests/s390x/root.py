"""A Debian for s390x in a folder: mmdebstrap builds it, QEMU's user emulation runs it, both as root."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.errors import StartRefused
from stack.part import ROOT
from stack.say import say

CODENAME, PYTHON = "trixie", "3.13"
SUITES = (CODENAME, "stable")
"""One and the same, as long as the second is made of the first: a mirror may have only one of them whole."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "qemu-s390x-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
}
"""Programs that building takes, and Debian's packages that hold them."""
BINFMT = Path("/proc/sys/fs/binfmt_misc")
LOCK = ROOT / "deploy" / "linuxone.lock"
SERVICE = (ROOT / "deploy" / "linuxone.packages").read_text().split()
FOR_TESTS = ["python3-onnxruntime", "python3-pytest", "redis-server"]
LEFT_OUT = ("doc", "info", "locale", "man")
"""Folders of /usr/share that are not needed here."""
CHECKOUT = Path("/srv/osteo")
"""Where this repository appears inside, read-only."""
ENTER = f"""
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind -o ro "$2" "$1{CHECKOUT}"
exec chroot "$1" env --ignore-environment --chdir={CHECKOUT} "${{@:3}}"
"""


def let_the_kernel_run_s390x() -> None:
    """Have programs of s390x run as if they were this machine's own. Raises Refused where that cannot be."""
    if os.geteuid() != 0:
        raise StartRefused("an s390x root can only be built and entered as root.")
    if packages := sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)}):
        say(f"installing {', '.join(packages)} ...")
        _run("apt-get", "update", "--quiet")
        _run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages)
    if not (BINFMT / "register").exists():
        _run("mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT))
    if not (BINFMT / "qemu-s390x").exists():
        _run("update-binfmts", "--import", "qemu-s390x")
    if subprocess.run(["arch-test", "s390x"], stdout=subprocess.DEVNULL).returncode:
        raise StartRefused(f"the kernel does not run s390x; {BINFMT}/qemu-s390x says what it knows.")


def build(root: Path) -> None:
    """Make the Debian at `root`, unless it is there with these very packages. Raises Refused."""
    packages = [*SERVICE, *FOR_TESTS]
    built = root.with_name(f"{root.name}.packages")
    if built.exists() and built.read_text().split() == packages:
        return
    built.unlink(missing_ok=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    source = mirror()
    for suite in SUITES:
        shutil.rmtree(root, ignore_errors=True)
        if _bootstrapped(root, suite, source, packages):
            break
        say(f"{source} does not have {suite} for s390x whole; its indexes may be of two days.")
    else:
        raise StartRefused(
            f"mmdebstrap found no Debian {CODENAME} for s390x; see above, and try again later."
        )
    (root / CHECKOUT.relative_to("/")).mkdir(parents=True)
    built.write_text("\n".join(packages))


def _bootstrapped(root: Path, suite: str, source: str, packages: list[str]) -> bool:
    # Compiling every module under emulation would take longer than all the rest.
    stand_in = 'ln --symbolic --force /bin/true "$1/usr/bin/py3compile"'
    divert = 'chroot "$1" dpkg-divert --quiet --no-rename --add /usr/bin/py3compile'
    command = (
        *("mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=apt"),
        *("--architectures=s390x", f"--include={','.join(packages)}"),
        *('--aptopt=Acquire::Languages "none"', "--dpkgopt=force-unsafe-io"),
        *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in LEFT_OUT),
        f"--essential-hook={divert}; {stand_in}",
        *(suite, str(root), f"deb [signed-by={KEYRING}] {source} {suite} main"),
    )
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
        return False
    return f"VERSION_CODENAME={CODENAME}\n" in (root / "etc/os-release").read_text()


def add_pure_packages(root: Path) -> None:
    """Put the wheels of deploy/linuxone.lock where the root's Python finds them before Debian's."""
    site = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    shutil.rmtree(site, ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    # "any": what is not pure Python is refused.
    target = (
        "--only-binary=:all:",
        "--no-binary=http-ece",
        "--platform=any",
        f"--python-version={PYTHON}",
        f"--target={site}",
    )
    _run(*pip, *target, "--no-deps", "--require-hashes", f"--requirement={LOCK}")
    # A static program of this machine's, which the kernel runs inside as well: Debian's would be emulated.
    shutil.copy2(Path(sys.executable).with_name("rclone"), root / "usr/local/bin/rclone")


def inside(root: Path, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `command` in the root, in this repository; its exit status. Nothing that it starts outlives it."""
    settings = {
        "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        # The checkout is read-only, and what was compiled once is kept for the next run.
        "PYTHONPYCACHEPREFIX": "/var/cache/python",
        **environment,
    }
    namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    entered = ("bash", "-euc", ENTER, "enter", str(root), str(ROOT))
    assignments = [f"{name}={value}" for name, value in settings.items()]
    return subprocess.run([*namespaces, *entered, *assignments, *command]).returncode


def mirror() -> str:
    """Where this machine's apt gets Debian from."""
    question = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian")
    found = subprocess.run(question, capture_output=True, text=True, check=True).stdout.split()
    if not found:
        raise StartRefused("apt knows no mirror of Debian here; /etc/apt/sources.list* must name one.")
    return found[0]


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        raise StartRefused(f"{command[0]} ended with exit status {done.returncode}; see above.")
