"""Decodes DICOM for `model.image`: pydicom, with the modality and VOI steps a viewer takes before display."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from model.errors import BrokenImage, ImageError
from model.raster import chroma_of, stretch

_PREAMBLE = 128
_PIXELS_ADVICE = "Send the image object itself, uncompressed or as JPEG or RLE, or export it as PNG."


def is_dicom(data: bytes) -> bool:
    """Whether the bytes carry DICOM's preamble."""
    return data[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def read(data: bytes, check_size: Callable[[int, int], None]) -> tuple[np.ndarray, float]:
    """Decode a single-frame DICOM image to uint8 (height, width), bone white, and its chroma in 0..1.

    `check_size(width, height)` is called before a pixel is decoded. Every error of pydicom's becomes a
    BrokenImage here; damaged files make it raise nearly anything.
    """
    try:
        _refuse_deflated(data)
        header = dcmread(io.BytesIO(data))
        _refuse_unusable(header, check_size)
        return _to_gray(header)
    except ImageError:
        raise
    except Exception as error:
        raise BrokenImage(f"The DICOM file does not decode. {_PIXELS_ADVICE}") from error


def _refuse_deflated(data: bytes) -> None:
    # pydicom inflates such a file whole before a single size can be looked at: a bomb.
    start = io.BytesIO(data[_PREAMBLE + 4 :])
    meta = read_dataset(start, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise BrokenImage(f"Deflated DICOM files are not read. {_PIXELS_ADVICE}")


def _refuse_unusable(header: Dataset, check_size: Callable[[int, int], None]) -> None:
    if "PixelData" not in header or "Rows" not in header or "Columns" not in header:
        raise BrokenImage(f"The DICOM file holds no pixels, or ends before them. {_PIXELS_ADVICE}")
    check_size(int(header.Columns), int(header.Rows))
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise BrokenImage("The DICOM file holds several frames. Send each X-ray as its own job.")
    if header.PhotometricInterpretation == "PALETTE COLOR":
        raise BrokenImage("The DICOM image is in palette colours, which X-rays are not. Export it as gray.")
    syntax, expected = header.file_meta.TransferSyntaxUID, get_expected_length(header)
    if syntax == RLELossless:
        # Incompressible pixels grow by less than a hundredth; more than that would inflate without a limit.
        if len(header.PixelData) > expected * 1.1 + 4096:
            raise BrokenImage(f"The DICOM file holds more RLE data than its size allows. {_PIXELS_ADVICE}")
    elif syntax.is_encapsulated:
        frame = get_frame(header.PixelData, 0, number_of_frames=1)
        with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as picture:
            if picture.size != (header.Columns, header.Rows):
                raise BrokenImage(f"The DICOM file's header and its picture differ in size. {_PIXELS_ADVICE}")
    else:
        if len(header.PixelData) != expected + expected % 2:
            raise BrokenImage(
                f"The DICOM file's pixel data has {len(header.PixelData)} bytes where its header asks for "
                f"{expected}; it may have been cut off on its way. Send it again."
            )


def _to_gray(header: Dataset) -> tuple[np.ndarray, float]:
    stored = pixel_array(header)
    if stored.ndim == 3:
        colours = stored if stored.dtype == np.uint8 else stretch(stored)
        gray = colours.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return np.round(gray).astype(np.uint8), chroma_of(colours)
    shown = apply_voi_lut(apply_modality_lut(stored, header), header)
    gray = stretch(shown)
    return (255 - gray if header.PhotometricInterpretation == "MONOCHROME1" else gray), 0.0
