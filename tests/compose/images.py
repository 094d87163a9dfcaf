"""Makes the images of deploy/Dockerfile as folders: a bare Debian, in which its instructions are followed.

mmdebstrap makes the Debian; bubblewrap runs what RUN names in it, as root. docs/deploy.md says what stands in
for the base image.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stack.part import ROOT
from tests.compose.dockerfile import Image, Unknown, copy, stages
from tests.s390x.root import KEYRING, mirror

STAGES = stages((ROOT / "deploy/Dockerfile").read_text())
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""That of the base image."""
LIBRARIES = (
    *("ca-certificates", "netbase", "tzdata", "libbz2-1.0", "libffi8", "liblzma5", "libncursesw6"),
    *("libreadline8t64", "libsqlite3-0", "libssl3t64", "libuuid1", "zlib1g"),
)
"""What Python needs of Debian, as in the base image."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
OF_THIS_MACHINE = re.compile(r"PIP_(CERT|INDEX_URL|DEFAULT_TIMEOUT)|(https?|no)_proxy", re.IGNORECASE)
"""Variables by which packages are reached from here. No image keeps them."""


def described(name: str, folder: Path) -> Image:
    """Return the image of a stage, whose root lies in `folder` once it is made."""
    base, instructions = STAGES[name]
    image = described(base, folder) if base in STAGES else Image(folder / "base", ENVIRONMENT)
    for instruction in instructions:
        image = image.after(instruction)
    return Image(folder / name, image.environment, image.workdir, image.user, image.command)


def make(name: str, folder: Path) -> None:
    """Make the root of a stage anew, and before it those that it is made of. Raises Unknown."""
    base, instructions = STAGES[name]
    root = folder / name
    if base in STAGES:
        if not (folder / base).exists():
            make(base, folder)
        before = described(base, folder)
    else:
        before = Image(_debian(base, folder), ENVIRONMENT)
    print(f"  ..  {name} from {base}", flush=True)
    _run("cp", "--archive", "--reflink=auto", str(before.root), str(root))
    image = Image(root, before.environment, before.workdir, before.user)
    for instruction in instructions:
        print(f"  ..  {name}: {instruction.name} {instruction.rest}", flush=True)
        if instruction.name == "RUN":
            _run(*_within(image), "sh", "-c", instruction.rest)
        elif instruction.name == "COPY":
            source = ROOT
            for option in instruction.options:
                other = option.removeprefix("--from=")
                if not (folder / other).exists():
                    make(other, folder)
                source = folder / other
            # What another stage has made is not written again, and takes gigabytes.
            copy(instruction, image, source, link=source != ROOT)
        image = image.after(instruction)
        image.inside(".").mkdir(parents=True, exist_ok=True)


def make_all(folder: Path) -> None:
    """Make every image that has a command anew in `folder`, which keeps the bare Debian for the next time."""
    for name in STAGES:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name, (_, instructions) in STAGES.items():
        if any(instruction.name == "CMD" for instruction in instructions):
            make(name, folder)


def user_of(image: Image) -> str:
    """Return the user and the group of an image by number, as docker-compose.yml writes them."""
    users = [line.split(":") for line in (image.root / "etc/passwd").read_text().splitlines()]
    ((user, group),) = [(fields[2], fields[3]) for fields in users if fields[0] == image.user]
    return f"{user}:{group}"


def _debian(image: str, folder: Path) -> Path:
    """Make what stands in for a base image: its Debian, with the Python of this machine in its place."""
    asked = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-(\w+)", image)
    here = "{}.{}".format(*sys.version_info)
    if not asked or asked[1] != here:
        raise Unknown(f"FROM {image}: this machine has Python {here}, and that of a registry is out of reach")
    root = folder / f"{asked[2]}-{sys.version.split()[0]}"
    if root.exists():
        return root
    draft = folder / f".{root.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    source = f"deb [signed-by={KEYRING}] {mirror()} {asked[2]} main"
    options = (
        "--quiet",
        "--mode=root",
        "--format=directory",
        "--variant=minbase",
        f"--include={','.join(LIBRARIES)}",
    )
    _run("mmdebstrap", *options, '--aptopt=Acquire::Languages "none"', asked[2], str(draft), source)
    _copy_python(draft / "usr/local", here)
    _run(
        *_within(Image(draft, ENVIRONMENT)),
        "sh",
        "-c",
        "ldconfig && python3 -c 'import ssl, sqlite3, ctypes, lzma'",
    )
    # A container finds the names of its network in it.
    (draft / "etc/hosts").touch()
    draft.rename(root)
    return root


def _copy_python(place: Path, version: str) -> None:
    here = Path(sys.base_prefix)
    shutil.copy(here / f"bin/python{version}", place / f"bin/python{version}")
    for name in ("python3", "python"):
        (place / "bin" / name).symlink_to(f"python{version}")
    for library in here.glob("lib/libpython*.so*"):
        shutil.copy(library, place / "lib", follow_symlinks=False)
    unused = shutil.ignore_patterns("site-packages", "__pycache__", "test", "*.a")
    library = place / f"lib/python{version}"
    shutil.copytree(here / f"lib/python{version}", library, symlinks=True, ignore=unused)
    (library / "site-packages").mkdir()


def _within(image: Image) -> list[str]:
    """Begin a command in an image, as root, with the network of this machine."""
    if image.user != "root":
        raise Unknown("a RUN after a USER")
    words = ["bwrap", "--bind", str(image.root), "/", "--dev", "/dev", "--proc", "/proc", "--die-with-parent"]
    for file in (Path("/etc/resolv.conf"), Path("/etc/hosts"), CERTIFICATES):
        words += ["--ro-bind", str(file), str(file)]
    words += ["--unshare-pid", "--cap-add", "ALL", "--chdir", image.workdir, "--clearenv"]
    reach = {name: value for name, value in os.environ.items() if OF_THIS_MACHINE.fullmatch(name)}
    for name, value in (reach | dict(image.environment)).items():
        words += ["--setenv", name, value]
    return words


def _run(*command: str) -> None:
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        raise Unknown(f"this failed: {' '.join(command[-3:])}")
