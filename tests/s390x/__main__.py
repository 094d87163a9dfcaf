"""Builds an s390x Debian, and compares it with this machine: `python -m tests.s390x [--full]`, as root."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stack.errors import StartRefused
from stack.part import ROOT
from stack.say import say
from tests.s390x import root
from tests.s390x.carried import SMALL, carry

FOLDER = ROOT / "var" / "s390x"
CARRIED = FOLDER / "carried"
WITHOUT_SERVERS = (
    "tests/s390x/on_big_endian.py",
    "tests/model/decode/test_image.py",
    "tests/model/test_letterbox.py",
    "tests/model/test_regions.py",
)
THE_PATH = (
    "tests/integration/test_path.py::test_a_radiograph_becomes_a_result_an_overlay_and_a_signed_callback"
)


def main() -> int:
    """Run every part, print how long each took; 1 means that one has failed, 2 that it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.s390x", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the bundled network, too: some minutes more")
    full = parser.parse_args().full
    took: dict[str, float] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        say(f"{name} ...")
        began = time.monotonic()
        yield
        took[name] = time.monotonic() - began

    failed = []
    try:
        with part("a Debian for s390x"):
            root.let_the_kernel_run_s390x()
            root.build(FOLDER / "root")
        with part("pure Python packages"):
            root.add_pure_packages(FOLDER / "root")
        with part("what x86 makes of it"):
            carry(CARRIED, full)
        for name, tests in {
            "tests without servers": WITHOUT_SERVERS,
            "from POST to the signed callback": (THE_PATH,),
        }.items():
            with part(name):
                if tested(*tests):
                    failed.append(name)
    except StartRefused as reason:
        say(f"cannot test on s390x: {reason}")
        return 2
    for name, seconds in took.items():
        print(f"{seconds:7.1f} s  {name}{'  FAILED' if name in failed else ''}")
    print(f"{sum(took.values()):7.1f} s  in all")
    return 1 if failed else 0


def tested(*tests: str) -> int:
    """Run these tests inside; pytest's exit status."""
    environment = {
        "OSTEO_CARRIED": str(root.CHECKOUT / CARRIED.relative_to(ROOT)),
        "OSTEO_BUNDLE": str(root.CHECKOUT / CARRIED.relative_to(ROOT) / SMALL),
        "OSTEO_ENGINE": "onnxruntime",
    }
    alone = () if tests == (THE_PATH,) else ("--noconftest",)
    command = ("python3", "-m", "pytest", "-p", "no:cacheprovider", "--durations=10", *alone, *tests)
    return root.inside(FOLDER / "root", command, environment)


if __name__ == "__main__":
    sys.exit(main())
