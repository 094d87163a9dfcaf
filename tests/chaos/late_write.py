"""Tells whether a write that was given up arrives after all, once its host, which was cut off, is back.

`python -m tests.chaos.late_write` is the writer, at that host.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping

from jobs.record.errors import StoreUnavailable
from jobs.store.objects import Objects
from tests.chaos.network import Network

KEY = "late-write"
READY, GIVEN_UP = "ready\n", "given up\n"
SECONDS = 300


def give_up_a_write(network: Network, host: int, environment: Mapping[str, str], port: int) -> None:
    """Begin a write at this host while it is cut off. Return once nothing of it is on its way any more."""
    command = (*network.within(host), sys.executable, "-m", __name__)
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **piped) as writer:  # type: ignore[call-overload]
        assert writer.stdout.readline() == READY
        with network.cut_off(host):
            writer.stdin.close()
            assert writer.stdout.readline() == GIVEN_UP
    deadline = time.monotonic() + SECONDS
    while _is_sending(network, host, port):
        assert time.monotonic() < deadline, "what was written is sent for ever"
        time.sleep(0.1)


def _is_sending(network: Network, host: int, port: int) -> bool:
    """Whether this host has a connection to `port` with bytes that were not acknowledged."""
    table = subprocess.run(
        (*network.within(host), "cat", "/proc/net/tcp"), check=True, capture_output=True, text=True
    )
    rows = [row.split() for row in table.stdout.splitlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and not row[4].startswith("00000000:") for row in rows)


def main() -> None:
    """Connect, and write once standard input ends."""
    objects = Objects.connect(os.environ["S3_ENDPOINT_URL"], os.environ.get("S3_BUCKET", "osteo"))
    objects.exists(KEY)
    print(READY, end="", flush=True)
    sys.stdin.read()
    try:
        objects.put_new(KEY, b"{}")
    except StoreUnavailable:
        print(GIVEN_UP, end="", flush=True)


if __name__ == "__main__":
    main()
