"""Decodes DICOM for `model.image`: pydicom, with the modality and VOI steps a viewer takes before display."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable

import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from model import imagecodecs_plugin
from model.acquisition import Acquisition, acquisition_of
from model.codestream import check_rle, shape_of
from model.errors import BrokenImage, ImageError, UnreadableFormat
from model.headers.elements import check_elements
from model.headers.jpeg import check_jpeg
from model.raster import chroma_of, stretch

_PREAMBLE = 128
_PIXELS_ADVICE = "Send the image object itself, uncompressed or as JPEG or RLE, or export it as PNG."

imagecodecs_plugin.register()
# What pydicom warns of holds the values of elements, so patients' names.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").disabled = True
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def is_dicom(data: bytes) -> bool:
    """Whether the bytes carry DICOM's preamble."""
    return data[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def read(data: bytes, check_size: Callable[[int, int], None]) -> tuple[np.ndarray, float, Acquisition]:
    """Decode a single-frame DICOM image: uint8 (height, width), bone white; chroma in 0..1; how it was taken.

    Its elements are counted first, and `check_size(width, height)` is called before a pixel is decoded. Every
    error of pydicom's becomes a BrokenImage here; damaged files make it raise nearly anything.
    UnreadableFormat where this machine has no decoder for the compression.
    """
    try:
        check_elements(data)
        _refuse_deflated(data)
        header = dcmread(io.BytesIO(data))
        _refuse_unusable(header, check_size)
        return *_to_gray(header), acquisition_of(header)
    except (ImageError, MemoryError):
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
    syntax = header.file_meta.TransferSyntaxUID
    expected = get_expected_length(header)
    if syntax not in AllTransferSyntaxes or syntax.is_encapsulated:
        _refuse_compressed(header, syntax)
    elif len(header.PixelData) != expected + expected % 2:
        raise BrokenImage(
            f"The DICOM file's pixel data has {len(header.PixelData)} bytes where its header asks for "
            f"{expected}; it may have been cut off on its way. Send it again."
        )


def _refuse_compressed(header: Dataset, syntax: UID) -> None:
    if not _decoded_by(syntax):
        name = syntax.name if syntax in AllTransferSyntaxes else "an unknown transfer syntax"
        raise UnreadableFormat(f"This service does not read DICOM in {name}. {_PIXELS_ADVICE}")
    frame = get_frame(header.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:
        check_rle(frame, header.Rows * header.Columns)
        return
    shape = shape_of(frame)
    if not shape.is_of(syntax):
        raise BrokenImage(f"The DICOM file's pixels are not {syntax.name}, as it says. {_PIXELS_ADVICE}")
    if shape.has_scans:
        check_jpeg(frame)
    if (shape.width, shape.height, shape.samples) != (header.Columns, header.Rows, header.SamplesPerPixel):
        raise BrokenImage(f"The DICOM file's header and its picture differ in size. {_PIXELS_ADVICE}")
    if syntax in imagecodecs_plugin.CODECS and header.SamplesPerPixel != 1:
        raise BrokenImage(f"The DICOM image is in colours, compressed as {syntax.name}. Export it as PNG.")


def _decoded_by(syntax: UID) -> str:
    """The plug-in of pydicom's that decodes the transfer syntax; empty where none does, or may."""
    if syntax in imagecodecs_plugin.CODECS:
        return imagecodecs_plugin.PLUGIN if imagecodecs_plugin.is_available(syntax) else ""
    return {JPEGBaseline8Bit: "pillow", RLELossless: "pydicom"}.get(syntax, "")


def _to_gray(header: Dataset) -> tuple[np.ndarray, float]:
    stored = pixel_array(header, decoding_plugin=_decoded_by(header.file_meta.TransferSyntaxUID))
    if stored.ndim == 3:
        colours = stored if stored.dtype == np.uint8 else stretch(stored)
        gray = colours.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        return np.round(gray).astype(np.uint8), chroma_of(colours)
    shown = apply_voi_lut(apply_modality_lut(stored, header), header)
    gray = stretch(shown)
    return (255 - gray if header.PhotometricInterpretation == "MONOCHROME1" else gray), 0.0
