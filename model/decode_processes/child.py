"""Decodes one file after another in a separate process, which `model.decode_processes.process` starts.

A hostile file ends this process alone, which has no secrets; the kernel enforces its limits.
"""

import base64
import math
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from model.decode.image import ImageError, Limits, Radiograph, decode
from model.decode_processes.wire import receive, send
from model.overlay import draw_overlay
from model.prediction import Prediction, cells_from_bytes
from model.regions import ScoredRegion

_PIXELS_PER_ALLOWANCE = 10_000_000
"""So many pixels are decoded in the processor time of one allowance, and as many more in another."""
Reply = tuple[dict[str, Any], bytes]


@dataclass(frozen=True)
class _Metered(Limits):
    """Limits that allow a larger picture more processor time, once its size is known."""

    seconds: int = 4

    def check(self, width: int, height: int) -> None:
        """Check as Limits.check does, and allow the processor time of this size."""
        super().check(width, height)
        _allow(self.seconds * (1 + width * height // _PIXELS_PER_ALLOWANCE))


def main(max_pixels: int, seconds: int, megabytes: int) -> None:
    """Answer messages on standard input until the other side ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # What is under way is finished when a server stops; this process ends with it.
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        # Where a machine or container runs out of memory, this process is ended and not its server.
        Path("/proc/self/oom_score_adj").write_text("1000")
    memory = megabytes * 2**20
    for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, memory)):
        resource.setrlimit(kind, (most, most))
    Image.init()
    limits = _Metered(max_pixels, seconds)
    connection = socket.socket(fileno=0)
    send(connection, {})
    while True:
        try:
            header, data = receive(connection, sys.maxsize)
        except EOFError:
            return
        _allow(seconds)
        send(connection, *_reply(header, data, limits))


def _reply(header: dict[str, Any], data: bytes, limits: Limits) -> Reply:
    try:
        # The server takes the digest itself: it does not believe this process, so none is taken here.
        return _TASKS[header["task"]](decode(data, limits, sha256=""), header)
    except ImageError as refusal:
        return {"refused": type(refusal).__name__, "detail": refusal.detail}, b""
    except MemoryError:
        return {"exceeded": "memory"}, b""


def _facts(radiograph: Radiograph, _: dict[str, Any]) -> Reply:
    return {
        "format": radiograph.format,
        "width": radiograph.width,
        "height": radiograph.height,
        "acquisition": radiograph.acquisition.facts(),
    }, b""


def _pixels(radiograph: Radiograph, header: dict[str, Any]) -> Reply:
    reply, _ = _facts(radiograph, header)
    reply |= {
        "chroma": radiograph.chroma,
        "acquisition": asdict(radiograph.acquisition),
        "left_out": radiograph.left_out,
    }
    return reply, radiograph.pixels.astype("<u1", copy=False).tobytes()


def _overlay(radiograph: Radiograph, header: dict[str, Any]) -> Reply:
    given = header["prediction"]
    regions = tuple(ScoredRegion(tuple(region["box"]), region["score"]) for region in given["regions"])
    cells = cells_from_bytes(base64.b64decode(given["cells"]))
    prediction = Prediction(
        *(given["finding"], given["probability"], regions, cells, tuple(given["field"]), given["model"])
    )
    return {}, draw_overlay(radiograph, prediction)


_TASKS: dict[str, Callable[[Radiograph, dict[str, Any]], Reply]] = {
    "facts": _facts,
    "pixels": _pixels,
    "overlay": _overlay,
}


def _allow(seconds: int) -> None:
    """Let this process have so much processor time from now on; then the kernel ends it."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, most))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
