"""Runs a stack of its own for `make demo`, for tests and for benchmarks."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack.addresses import free_ports
from stack.errors import GaveUp
from stack.parent import end_with_parent
from stack.part import ROOT


@contextmanager
def running(environment: Mapping[str, str], folder: Path) -> Iterator[dict[str, Any]]:
    """Run a stack on free ports in `folder`; yield what its ready.json says. Leaving the context stops it.

    Raises GaveUp where it does not start, or does not stop as it should.
    """
    api_port, flower_port = free_ports(2)
    process = subprocess.Popen(
        (sys.executable, "-m", "stack", "up"),
        cwd=ROOT,
        env={
            **environment,
            "PORT": str(api_port),
            "FLOWER_PORT": str(flower_port),
            "OSTEO_VAR": str(folder),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=end_with_parent(),
    )
    try:
        ended = os.pidfd_open(process.pid)
        while not (folder / "ready.json").exists():
            if select.select([ended], [], [], 0.25)[0]:
                raise GaveUp("the stack did not start")
        yield json.loads((folder / "ready.json").read_text())
    finally:
        process.terminate()
        if process.wait() != 0 and sys.exc_info()[0] is None:
            raise GaveUp("the stack did not stop as it should")
