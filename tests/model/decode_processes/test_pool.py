"""Decode processes: the same pixels as without, and a file that harms one harms nothing else."""

import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from model.decode.image import Limits, decode, decode_values
from model.decode_processes import coding
from model.decode_processes.pool import Decoders
from model.decode_processes.process import ENVIRONMENT, Bounds, Process
from model.errors import BrokenImage, NoDecoder, TooManyPixels, UnreadableFormat
from model.overlay import draw_overlay
from model.prediction import Outline, Outlines
from model.preview import draw_preview
from tests import pictures
from tests.pictures import WHOLE

MOST_PIXELS = 40_000_000
GRAY = pictures.gray()
PNG = pictures.encoded(GRAY)
FILES = {
    **{name: pictures.encoded(GRAY, name) for name in ("PNG", "JPEG", "TIFF", "BMP", "WEBP")},
    "colours": pictures.encoded(pictures.colours()),
    "DICOM": pictures.dicom(GRAY, BodyPartExamined="WRIST", PixelSpacing=[0.1, 0.2]),
}


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(Bounds(max_pixels=MOST_PIXELS))
    yield decoders
    decoders.close()


def only_process_of(decoders: Decoders) -> Process:
    decoders.facts(PNG, "clinic")
    (process,) = decoders.idle
    return process


@pytest.mark.parametrize("name", FILES)
def test_a_file_decodes_to_the_same_as_without_a_process(name: str, decoders: Decoders):
    here, there = decode(FILES[name]), decoders.decode(FILES[name], "clinic")
    assert np.array_equal(here.pixels, there.pixels)
    assert (here.format, here.chroma, here.sha256) == (there.format, there.chroma, there.sha256)
    assert here.acquisition == there.acquisition
    assert there.found_field == here.exposed_field
    facts = decoders.facts(FILES[name], "clinic")
    assert (facts.width, facts.height, facts.format) == (here.width, here.height, here.format)
    assert (facts.sha256, facts.acquisition) == (here.sha256, here.acquisition.facts())


@pytest.mark.parametrize("wrong", [{"left": -1}, {"top": 1}, {"width": 10**6}, {"height": 0}, {"width": -5}])
def test_a_field_outside_of_its_picture_is_not_believed(wrong: dict, decoders: Decoders, monkeypatch):
    radiograph = decode(PNG)
    assert radiograph.exposed_field.height == radiograph.height

    def answered(*_) -> tuple[dict, bytes]:
        field = asdict(radiograph.exposed_field) | wrong
        size = {"width": radiograph.width, "height": radiograph.height}
        facts = {"format": "PNG", "chroma": 0.0, "acquisition": {}, "left_out": [], "field": field}
        return size | facts, radiograph.pixels.tobytes()

    monkeypatch.setattr(decoders, "_answered", answered)
    with pytest.raises(BrokenImage):
        decoders.decode(PNG, "clinic")


def test_an_overlay_is_drawn_as_without_a_process(decoders: Decoders):
    outlines = Outlines("fracture", 0.9, "m 1", (Outline((9, 8, 30, 20), 0.8, True),))
    assert decoders.overlay(PNG, outlines, "clinic") == draw_overlay(decode(PNG), outlines)


@pytest.mark.parametrize("name", FILES)
def test_values_and_preview_are_made_as_without_a_process(name: str, decoders: Decoders):
    here = decode_values(FILES[name])
    for used in (None, *WHOLE):
        facts, body = decoders.values(FILES[name], "clinic", used)
        whole = WHOLE[used](body) if used else body
        assert np.array_equal(np.frombuffer(whole, "<u2").reshape(here.pixels.shape), here.pixels)
        assert facts == here.facts() | {"acquisition": here.acquisition.facts()}
    assert decoders.preview(FILES[name], "clinic") == draw_preview(FILES[name], Limits())


def test_a_picture_of_12_megapixels_comes_whole_within_the_bounds(decoders: Decoders):
    stored = (np.arange(12_000_000, dtype=np.uint32) % 4_093).astype("<u2").reshape(3_000, 4_000)
    file = pictures.dicom(np.zeros((3_000, 4_000), np.uint8), PixelData=stored.tobytes(), WindowWidth=0)
    for used, whole in WHOLE.items():
        _, body = decoders.values(file, "clinic", used)
        assert len(body) < len(stored.tobytes())
        assert whole(body) == stored.tobytes()
    assert decoders.preview(file, "clinic").startswith(b"\xff\xd8\xff")


def test_without_imagecodecs_zlib_compresses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    without = runpy.run_path(coding.__file__)
    assert without["CODINGS"] == ("gzip",)
    assert WHOLE["gzip"](without["compress"](PNG, "gzip")) == PNG


@pytest.mark.parametrize(
    ("data", "refusal"),
    [(b"text", UnreadableFormat), (pictures.bomb(7_000), TooManyPixels), (PNG[:-400], BrokenImage)],
)
def test_a_refusal_comes_back_in_its_own_words(data: bytes, refusal: type[Exception], decoders: Decoders):
    with pytest.raises(refusal) as here:
        decode(data, Limits(MOST_PIXELS))
    asked = (
        lambda: decoders.decode(data, "clinic"),
        lambda: decoders.values(data, "clinic", "gzip"),
        lambda: decoders.preview(data, "clinic"),
    )
    for ask in asked:
        with pytest.raises(refusal) as there:
            ask()
        assert there.value.detail == here.value.detail


def test_a_process_has_none_of_the_servers_environment_and_no_tensorflow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OSTEO_SIGNING_KEY", "a secret of the server's, and long enough")
    decoders = Decoders(Bounds())
    folder = Path(f"/proc/{only_process_of(decoders).pid}")
    environment = dict(entry.split("=", 1) for entry in (folder / "environ").read_text().split("\0") if entry)
    assert environment == ENVIRONMENT
    assert "tensorflow" not in (folder / "maps").read_text()
    limits = (folder / "limits").read_text()
    assert re.search(rf"Max address space +{Bounds().megabytes * 2**20} ", limits)
    assert not re.search(r"Max cpu time +unlimited ", limits)
    decoders.close()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGXCPU, signal.SIGKILL])
def test_a_file_that_ends_its_process_is_broken_and_a_process_starts(number: int):
    decoders = Decoders(Bounds())
    lost = only_process_of(decoders)
    os.kill(lost.pid, signal.SIGSTOP)
    Thread(target=_end_once_it_is_asked, args=[decoders, lost.pid, number]).start()
    with pytest.raises(BrokenImage, match="takes more time or memory"):
        decoders.facts(PNG, "clinic")
    assert only_process_of(decoders).pid != lost.pid
    decoders.close()


def _end_once_it_is_asked(decoders: Decoders, pid: int, number: int) -> None:
    while decoders.idle:
        time.sleep(0.001)
    os.kill(pid, number)
    os.kill(pid, signal.SIGCONT)


def test_a_file_that_takes_too_long_is_broken_and_its_process_is_gone():
    decoders = Decoders(Bounds(seconds=0.2))
    slow = only_process_of(decoders)
    os.kill(slow.pid, signal.SIGSTOP)
    with pytest.raises(BrokenImage):
        decoders.facts(PNG, "clinic")
    assert not Path(f"/proc/{slow.pid}").exists()
    decoders.close()


def test_a_file_over_the_memory_bound_is_broken_and_the_next_is_read():
    decoders = Decoders(Bounds(megabytes=320))
    large = pictures.dicom(np.zeros((6_000, 6_000), np.uint8), WindowCenter=1000, WindowWidth=1000)
    with pytest.raises(BrokenImage, match="takes more time or memory"):
        decoders.decode(large, "clinic")
    assert decoders.facts(PNG, "clinic").width == 128
    decoders.close()


def test_a_process_that_was_lost_while_idle_costs_no_file_anything(decoders: Decoders):
    idle = only_process_of(decoders)
    os.kill(idle.pid, signal.SIGKILL)
    while idle.alive:
        time.sleep(0.001)
    assert decoders.facts(PNG, "clinic").width == 128


def test_where_no_process_is_free_in_time_the_file_is_not_blamed():
    decoders = Decoders(Bounds(seconds=20), processes=1, wait_seconds=0.05)
    held = only_process_of(decoders)
    os.kill(held.pid, signal.SIGSTOP)
    first = Thread(target=decoders.facts, args=[PNG, "first"])
    first.start()
    while decoders.idle:
        time.sleep(0.001)
    with pytest.raises(NoDecoder):
        decoders.facts(PNG, "second")
    os.kill(held.pid, signal.SIGCONT)
    first.join()
    decoders.close()


def test_where_no_process_starts_the_file_is_not_blamed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NoDecoder):
        Decoders(Bounds()).facts(PNG, "clinic")


def test_the_patient_of_a_dicom_file_is_read_and_of_no_other(decoders):
    named = pictures.dicom(pictures.gray(), PatientID=" P-4711 ", IssuerOfPatientID="clinic")
    assert decoders.patient(named, "clinic") == ("clinic", "P-4711")
    nameless = pictures.dicom(pictures.gray(), PatientID="")
    for other in (nameless, pictures.encoded(pictures.gray()), b"DICM", b""):
        assert decoders.patient(other, "clinic") is None
