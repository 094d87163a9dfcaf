"""Decodes for a server's threads: each file in one of a few processes, clients in turn, within bounds."""

import hashlib
import logging
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from model import errors
from model.decode.acquisition import Acquisition
from model.decode.radiograph import Radiograph
from model.decode_processes.client_slots import ClientSlots
from model.decode_processes.process import Bounds, Ended, Process
from model.errors import BrokenImage, NoDecoder
from model.exposed_field import ExposedField
from model.prediction import Outlines

log = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], bytes]
_MOST_DRAWN = 32 * 2**20
"""Bytes of an overlay or a preview: it has 1600 x 1600 pixels at most."""
_REFUSALS = {
    kind.__name__: kind for kind in (errors.BrokenImage, errors.TooManyPixels, errors.UnreadableFormat)
}


@dataclass(frozen=True)
class Facts:
    """What is known of a file that decodes; `acquisition` as Acquisition.facts says it."""

    sha256: str
    width: int
    height: int
    format: str
    acquisition: dict[str, Any]
    study_uid: str | None = None


@dataclass(frozen=True, eq=False)
class AprilTags:
    """The AprilTags in a picture of this size: the number of each, and its (4, 2) corners in pixels."""

    width: int
    height: int
    found: tuple[tuple[int, np.ndarray], ...]


class Decoders:
    """The decode processes of one server process. Any thread may ask.

    Each method takes the bytes of a file and the client that it came from. It raises what
    model.decode.image.decode raises, BrokenImage for a file that takes more than the bounds allow or ends its
    process, and NoDecoder where no process is free within `wait_seconds`, or none starts.
    """

    def __init__(self, bounds: Bounds, processes: int = 3, wait_seconds: float = 10.0) -> None:
        """Start nothing yet: processes are started when they are needed, and stay."""
        self._bounds = bounds
        self._slots = ClientSlots(processes)
        self._wait_seconds = wait_seconds
        self._idle: list[Process] = []
        self._lock = Lock()

    @property
    def idle(self) -> list[Process]:
        """The processes that wait for a file."""
        with self._lock:
            return list(self._idle)

    def start(self) -> None:
        """Start one process, so that the first file does not wait for it. Raises NoDecoder."""
        self._keep(Process(self._bounds))

    def close(self) -> None:
        """End the processes that are idle."""
        while process := self._taken():
            process.end()

    def facts(self, data: bytes, client: str) -> Facts:
        """Decode a file and describe it; its pixels stay in the decode process."""
        reply, _ = self._ask({"task": "facts"}, data, client, 0)
        digest = hashlib.sha256(data).hexdigest()
        size = reply["width"], reply["height"]
        return Facts(digest, *size, reply["format"], reply["acquisition"], reply["study_uid"])

    def decode(self, data: bytes, client: str) -> Radiograph:
        """Decode a file as model.decode.image.decode does, and find its exposed field."""
        reply, pixels = self._ask({"task": "pixels"}, data, client, self._bounds.max_pixels)
        given: dict[str, Any] = reply["acquisition"]
        lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        return Radiograph(
            np.frombuffer(pixels, np.uint8).reshape(reply["height"], reply["width"]),
            reply["format"],
            reply["chroma"],
            hashlib.sha256(data).hexdigest(),
            Acquisition(**(given | lists)),
            tuple(reply["left_out"]),
            _field_of(reply),
        )

    def values(self, data: bytes, client: str, coding: str | None = None) -> Answer:
        """Decode a file as model.decode.image.decode_values does: its facts, and its pixels little-endian.

        With a `coding` (see model.decode_processes.coding) the pixels come compressed.
        """
        # What does not compress grows by less than a thousandth.
        reply, body = self._ask(
            {"task": "values", "coding": coding}, data, client, 3 * self._bounds.max_pixels
        )
        if not coding and len(body) != 2 * reply["rows"] * reply["columns"]:
            raise _exceeded()
        return reply, body

    def overlay(self, data: bytes, outlines: Outlines, client: str) -> bytes:
        """Decode a file and draw onto it what the model says, as model.overlay.draw_overlay does."""
        _, drawn = self._ask({"task": "overlay", "outlines": outlines.to_json()}, data, client, _MOST_DRAWN)
        return drawn

    def preview(self, data: bytes, client: str) -> bytes:
        """Decode a file and draw it small, as model.preview.draw_preview does."""
        _, drawn = self._ask({"task": "preview"}, data, client, _MOST_DRAWN)
        return drawn

    def april_tags(self, data: bytes, client: str, ids: tuple[int, ...], max_pixels: int) -> AprilTags:
        """Find AprilTags in a photograph, as model.decode.april_tags.find_april_tags does."""
        header = {
            "task": "april_tags",
            "ids": list(ids),
            "max_pixels": min(max_pixels, self._bounds.max_pixels),
        }
        return self._tags(header, data, client)

    def lead_tags(self, data: bytes, client: str, ids: tuple[int, ...]) -> AprilTags:
        """Decode a radiograph and find tags of lead, as model.decode.april_tags.find_lead_tags does."""
        return self._tags({"task": "lead_tags", "ids": list(ids)}, data, client)

    def _tags(self, header: dict[str, Any], data: bytes, client: str) -> AprilTags:
        reply, _ = self._ask(header, data, client, 0)
        found = ((int(number), np.array(corners, float).reshape(4, 2)) for number, corners in reply["found"])
        return AprilTags(int(reply["width"]), int(reply["height"]), tuple(found))

    def patient(self, data: bytes, client: str) -> tuple[str, str] | None:
        """Read whose picture a DICOM file is: see model.decode.dicom_patient."""
        reply, _ = self._ask({"task": "patient"}, data, client, 0)
        found = reply["patient"]
        return (str(found[0]), str(found[1])) if found else None

    def _ask(self, header: dict[str, Any], data: bytes, client: str, most: int) -> Answer:
        try:
            with self._slots.hold(client, self._wait_seconds):
                reply, body = self._answered(header, data, most)
        except TimeoutError as error:
            raise NoDecoder(f"no decode process is free within {self._wait_seconds:g} s") from error
        if "exceeded" in reply:
            raise _exceeded()
        if "refused" in reply:
            raise _REFUSALS[reply["refused"]](reply["detail"])
        return reply, body

    def _answered(self, header: dict[str, Any], data: bytes, most: int) -> Answer:
        process = self._taken()
        while process is not None and not process.alive:
            process.end()
            process = self._taken()
        process = process or Process(self._bounds)
        try:
            answer = process.ask(header, data, most)
        except Ended as ended:
            log.warning("a decode process was lost to a file: %s", ended)
            self.start()
            raise _exceeded() from ended
        self._keep(process)
        return answer

    def _taken(self) -> Process | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, process: Process) -> None:
        with self._lock:
            self._idle.append(process)


def _field_of(reply: dict[str, Any]) -> ExposedField:
    """Read an exposed field. It has to lie in the picture: the process that found it is not believed."""
    found = reply["field"]
    left, top, width, height = (int(found[name]) for name in ("left", "top", "width", "height"))
    dark, bright = float(found["dark"]), float(found["bright"])
    if not (0 <= left < left + width <= reply["width"] and 0 <= top < top + height <= reply["height"]):
        raise _exceeded()
    return ExposedField(left, top, width, height, dark, bright, bool(found["negative"]))


def _exceeded() -> BrokenImage:
    return BrokenImage(
        "The image takes more time or memory to decode than an X-ray of its size does, or makes the decoder "
        "fail. Save it anew, as PNG or as a baseline JPEG, and send it again."
    )
