"""A plug-in of pydicom's for JPEG of 12 bits, lossless JPEG, JPEG-LS and JPEG 2000: a process each.

imagecodecs (BSD) has them all; pydicom's own plug-ins need a GPL library for 12 bits, or GDCM, which leaves
them out. It is not built for every processor: where it is missing, these files are refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
CODECS = {
    uid.JPEGExtended12Bit: "jpeg8_decode",
    uid.JPEGLossless: "jpeg8_decode",
    uid.JPEGLosslessSV1: "jpeg8_decode",
    uid.JPEGLSLossless: "jpegls_decode",
    uid.JPEGLSNearLossless: "jpegls_decode",
    uid.JPEG2000Lossless: "jpeg2k_decode",
    uid.JPEG2000: "jpeg2k_decode",
}
DECODER_DEPENDENCIES = dict.fromkeys(CODECS, (PLUGIN,))
"""What pydicom says is missing where it is."""
_SCRIPT = Path(__file__).with_name("decode_frame.py")
_SECONDS = 4
"""Processor time that a frame may take, and as much again for every 10 million pixels."""


def is_available(syntax: str) -> bool:
    """Whether this plug-in decodes the transfer syntax; asked by pydicom."""
    return syntax in CODECS and find_spec(PLUGIN) is not None


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """One gray frame as little-endian pixels; called by pydicom. Raises ValueError."""
    pixels = runner.rows * runner.columns
    seconds = _SECONDS * (1 + pixels // 10_000_000)
    ended = subprocess.run(
        # -P: this folder's modules must not stand in for others of the same name.
        (sys.executable, "-P", _SCRIPT, CODECS[runner.transfer_syntax], str(seconds)),
        input=source,
        capture_output=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    if ended.returncode or not ended.stdout:
        raise ValueError(f"the decoder ended with {ended.returncode}")
    bytes_of_a_sample = ended.stdout[0]
    runner.set_option("bits_allocated", 8 * bytes_of_a_sample)
    if len(ended.stdout) != 1 + pixels * bytes_of_a_sample:
        raise ValueError("the decoder made pixels of another number than the header says")
    return ended.stdout[1:]


def register() -> None:
    """Offer this plug-in to pydicom."""
    for syntax in CODECS:
        get_decoder(syntax).add_plugin(PLUGIN, (__name__, "decode_frame"))
