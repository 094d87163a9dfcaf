"""Measures what decoding costs: in a decode process beside in place, and by the format of a picture."""

import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from benchmarks.engines import some_inputs
from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.radiographs import radiographs
from model.bundle import Bundle
from model.classifier import CHECK
from model.decode.image import decode, describe
from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds
from model.engines import choose, start
from model.image_warnings import find_warnings
from model.letterbox import to_input
from model.radiograph_check import RadiographCheck
from tests.pictures import dicom_of_a_study, encoded

ROUNDS = 100
FORMAT_ROUNDS = 9
LARGE = (2048, 2560)
"""Width and height of a radiograph as a flat detector gives it: 5 megapixels."""
NOISE = 2.0
"""Standard deviation in gray levels: without any a picture compresses too well."""
GOALS = {"PNG": 0.85, "JPEG 2000": 0.1}
"""Of a submission against an analysis: the API computes fewer pixels."""
SUBMITTED, ANALYSED = "submitted, against decoding it for an analysis", "analysed, against the engine"
MOST_MILLISECONDS = 3.0
CLIENT = "clinic"


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure this group; what is compared takes turns, so that both see the same machine."""
    return [*_in_processes(), *_by_format(bundle)]


def _in_processes() -> list[BenchmarkFigure]:
    decoders = Decoders(Bounds())
    try:
        return [
            *_compared("a submission of 100 KB", decoders.facts, describe, 100, MOST_MILLISECONDS),
            *_compared("a submission of 1 MB", decoders.facts, describe, 1000, MOST_MILLISECONDS),
            *_compared("an analysis of 100 KB", decoders.decode, _in_place, 100, None),
        ]
    finally:
        decoders.close()


def _in_place(image: bytes) -> object:
    return decode(image).exposed_field


def _compared(
    what: str,
    there: Callable[[bytes, str], object],
    in_place: Callable[[bytes], object],
    kilobytes: int,
    at_most: float | None,
) -> list[BenchmarkFigure]:
    images = radiographs(ROUNDS, kilobytes)
    there(images[0], CLIENT)  # starts the process
    milliseconds: tuple[list[float], list[float]] = ([], [])
    for number, image in enumerate(images):
        # Who goes first finds the caches cold.
        for way in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            there(image, CLIENT) if way else in_place(image)
            milliseconds[way].append(1000 * (time.perf_counter() - began))
    here, beside = map(median, milliseconds)
    return [
        figure(f"decoding: {what}, in a process", beside, "ms", here),
        figure(f"decoding: {what}, what the process costs", beside - here, "ms", at_most=at_most),
    ]


def _by_format(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure what a picture costs the API and the inference worker, in ms of a core, by format and size."""
    check = RadiographCheck.from_json((bundle.folder / CHECK).read_text(encoding="utf-8"))
    engine = start(choose(None, bundle), bundle, lambda _: None)
    inputs = some_inputs(bundle.description.input_size)
    decoders = Decoders(Bounds(), processes=1)

    def analyse(image: bytes, client: str) -> None:
        """Do all of an analysis that depends on the size of a picture."""
        radiograph = decoders.decode(image, client)
        check.refuse_unless_gray(radiograph)
        to_input(radiograph.pixels, bundle.description.input_size, radiograph.exposed_field)
        find_warnings(radiograph.pixels, radiograph.exposed_field)

    figures = []
    try:
        for name, image in _by_name().items():
            analyse(image, CLIENT)  # Memory that is used again costs less than new memory.
            rounds = [
                [
                    _spent(decoders, partial(work, image, CLIENT))
                    for work in (decoders.facts, decoders.decode, analyse)
                ]
                + [_spent(decoders, partial(engine.run, inputs)) / len(inputs)]
                for _ in range(FORMAT_ROUNDS)
            ]
            described, decoded, analysed, engine_alone = map(median, zip(*rounds, strict=True))
            goal = next((goal for format_, goal in GOALS.items() if format_ in name), None)
            figures += [
                figure(f"decoding: {name}, {SUBMITTED}", described, "ms", decoded, at_most=goal),
                figure(f"decoding: {name}, {ANALYSED}", analysed, "ms", engine_alone),
            ]
    finally:
        decoders.close()
    return figures


def _by_name() -> dict[str, bytes]:
    """Draw a radiograph in the formats that clients send; `docs/capacity.md` names them so."""
    drawn = Image.open(io.BytesIO(radiographs(1)[0])).resize(LARGE, Image.Resampling.BICUBIC)
    grays = np.asarray(drawn) + np.random.default_rng(1).normal(0, NOISE, LARGE[::-1])
    eight, twelve, sixteen = (np.clip(grays * top / 255, 0, top) for top in (255, 4_095, 65_535))
    bits = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    lossless = encoded(twelve.astype(np.uint16), "JPEG2000", no_jp2=True)
    return {
        "JPEG of 0.8 megapixels": radiographs(1)[0],
        "JPEG of 5 megapixels": encoded(eight.astype(np.uint8), "JPEG", quality=90),
        "PNG of 5 megapixels": encoded(eight.astype(np.uint8)),
        "PNG of 5 megapixels and 16 bits": encoded(sixteen.astype(np.uint16)),
        "DICOM file of 5 megapixels": dicom_of_a_study(eight.astype(np.uint8)),
        "DICOM file of 5 megapixels in lossless JPEG 2000": dicom_of_a_study(
            twelve.astype(np.uint16), syntax=JPEG2000Lossless, codestream=lossless, **bits
        ),
    }


def _spent(decoders: Decoders, work: Callable[[], object]) -> float:
    """Measure the processor time that this process and its decode process take for it, in ms."""

    def so_far() -> int:
        (other,) = decoders.idle
        # Nanoseconds on a processor come first.
        return time.process_time_ns() + int(Path(f"/proc/{other.pid}/schedstat").read_text().split()[0])

    began = so_far()
    work()
    return (so_far() - began) / 1e6
