"""Decodes one file after another in a separate process, which `model.decode_processes.process` starts.

A hostile file ends this process alone, which has no secrets; the kernel enforces its limits.
"""

import math
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.decode.april_tags import find_april_tags, find_lead_tags
from model.decode.dicom_patient import patient_of
from model.decode.image import FileFacts, ImageError, Limits, Radiograph, decode, decode_values, describe
from model.decode_processes.coding import compress
from model.decode_processes.wire import receive, send
from model.overlay import draw_overlay
from model.prediction import Outlines
from model.preview import draw_preview

_PIXELS_PER_ALLOWANCE = 10_000_000
"""So many pixels are decoded in the processor time of one allowance, and as many more in another."""
Reply = tuple[dict[str, Any], bytes | memoryview]


@dataclass(frozen=True)
class _Metered(Limits):
    """Limits that allow a larger picture more processor time, once its size is known."""

    seconds: int = 4
    begun: float = 0.0
    """Processor time of this process when it began with the file."""

    def check(self, width: int, height: int) -> None:
        """Check as Limits.check does, and allow the processor time of this size for the whole file."""
        super().check(width, height)
        _end_at(self.begun + self.seconds * (1 + width * height // _PIXELS_PER_ALLOWANCE))


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
        begun = time.process_time()
        _end_at(begun + seconds)
        send(connection, *_reply(header, data, replace(limits, begun=begun)))


def _reply(header: dict[str, Any], data: bytes, limits: Limits) -> Reply:
    try:
        return _TASKS[header["task"]](data, limits, header)
    except ImageError as refusal:
        return {"refused": type(refusal).__name__, "detail": refusal.detail}, b""
    except MemoryError:
        return {"exceeded": "memory"}, b""


def _decoded(data: bytes, limits: Limits) -> Radiograph:
    # The server takes the digest itself: it does not believe this process, so none is taken here.
    return decode(data, limits, sha256="")


def _facts(data: bytes, limits: Limits, _: dict[str, Any]) -> Reply:
    file = describe(data, limits)
    return _facts_of(file) | {"study_uid": file.acquisition.study_uid}, b""


def _facts_of(file: Radiograph | FileFacts) -> dict[str, Any]:
    return {
        "format": file.format,
        "width": file.width,
        "height": file.height,
        "acquisition": file.acquisition.facts(),
    }


def _pixels(data: bytes, limits: Limits, _: dict[str, Any]) -> Reply:
    radiograph = _decoded(data, limits)
    reply = _facts_of(radiograph) | {
        "chroma": radiograph.chroma,
        "acquisition": asdict(radiograph.acquisition),
        "left_out": radiograph.left_out,
        # Here, as a worker records the attempt meanwhile.
        "field": asdict(radiograph.exposed_field),
    }
    return reply, _bytes_of(radiograph.pixels)


def _values(data: bytes, limits: Limits, header: dict[str, Any]) -> Reply:
    values = decode_values(data, limits)
    pixels = _bytes_of(values.pixels.astype("<u2", copy=False))
    body = compress(pixels, header["coding"]) if header["coding"] else pixels
    return values.facts() | {"acquisition": values.acquisition.facts()}, body


def _bytes_of(pixels: np.ndarray) -> memoryview:
    """Show the pixels' own bytes, of which a copy would take as long as half of decoding."""
    return np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data


def _overlay(data: bytes, limits: Limits, header: dict[str, Any]) -> Reply:
    return {}, draw_overlay(_decoded(data, limits), Outlines.from_json(header["outlines"]))


def _preview(data: bytes, limits: Limits, _: dict[str, Any]) -> Reply:
    return {}, draw_preview(data, limits)


def _april_tags(data: bytes, limits: Limits, header: dict[str, Any]) -> Reply:
    within = replace(limits, max_pixels=header["max_pixels"])
    (width, height), found = find_april_tags(data, within.check, header["ids"])
    return {"width": width, "height": height, "found": found}, b""


def _lead_tags(data: bytes, limits: Limits, header: dict[str, Any]) -> Reply:
    radiograph = _decoded(data, limits)
    found = find_lead_tags(radiograph.pixels, header["ids"])
    return {"width": radiograph.width, "height": radiograph.height, "found": found}, b""


def _patient(data: bytes, _: Limits, __: dict[str, Any]) -> Reply:
    return {"patient": patient_of(data)}, b""


_TASKS: dict[str, Callable[[bytes, Limits, dict[str, Any]], Reply]] = {
    "facts": _facts,
    "pixels": _pixels,
    "values": _values,
    "overlay": _overlay,
    "preview": _preview,
    "patient": _patient,
    "april_tags": _april_tags,
    "lead_tags": _lead_tags,
}


def _end_at(seconds: float) -> None:
    """Have the kernel end this process once it has used so much processor time since its start."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), most))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
