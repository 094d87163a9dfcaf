"""Decodes DICOM for `image`: pydicom reads it, `dicom_windowing` shows it as a viewer does."""

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import pixel_array
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    JPEG2000,
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from model.decode import dicom_codecs
from model.decode.dicom_acquisition import Acquisition, acquisition_of
from model.decode.dicom_codestream import check_rle, shape_of
from model.decode.dicom_values import values_of
from model.decode.dicom_windowing import mask_to_stored_bits, show
from model.decode.headers.dicom import check_elements
from model.decode.headers.jpeg import check_jpeg
from model.decode.jpeg_2000 import decode_smallest
from model.decode.pixel_values import PixelValues, values_of_grays
from model.decode.scaling import chroma_of, stretch
from model.errors import BrokenImage, ImageError, UnreadableFormat
from model.library_logs import silence_pydicom

T = TypeVar("T")

_PREAMBLE, _MAGIC = 128, b"DICM"
_FIRST_GROUPS = (2, 8)
"""Where a file without a preamble begins: with its meta information or with its data set."""
_END_OF_IMAGE = b"\xff\xd9"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_PIXELS_ADVICE = "Send the image object itself, uncompressed or as JPEG or RLE, or export it as PNG."

_MOST_BITS = 16
"""Most bits of a compressed sample: the codecs make no more."""
_STEP = 8
"""Of so many rows and columns one is shown, where only the facts are asked for."""
_GRAY_DIFFERENCE = 2.0
"""Mean difference of samples, of 255, up to which JPEG's rounding explains it."""


class DicomImage(NamedTuple):
    """A decoded file: uint8 (height, width), bone white; chroma in 0..1; how it was taken.

    `left_out` has a sentence for each thing of how the file asks to be displayed that could not be applied.
    """

    pixels: np.ndarray
    chroma: float
    acquisition: Acquisition
    left_out: tuple[str, ...]


def is_dicom(data: bytes) -> bool:
    """Whether the bytes carry DICOM's preamble, or begin with an element as a data set does."""
    if data[_PREAMBLE : _PREAMBLE + 4] == _MAGIC:
        return True
    group, vr, length = struct.unpack_from("<H2x2sH", data.ljust(8, b"\0"))
    explicit = vr.isalpha() and vr.isupper()
    return group in _FIRST_GROUPS and (explicit or length == 0 < int.from_bytes(vr, "little") < 256)


def read(data: bytes, check_size: Callable[[int, int], None]) -> DicomImage:
    """Decode a single-frame DICOM image.

    Its elements are counted first, and `check_size(width, height)` is called before a pixel is decoded. Every
    error of pydicom's becomes a BrokenImage here; damaged files make it raise nearly anything.
    UnreadableFormat where this machine has no decoder for the compression.
    """
    return _read(data, check_size, _to_gray)


def read_facts(data: bytes, check_size: Callable[[int, int], None]) -> tuple[int, int, Acquisition]:
    """Decode as `read` does, and return width and height in pixels, and how the picture was taken.

    Of a gray picture few pixels are shown, and JPEG 2000 is decoded at its lowest resolution.
    """
    return _read(data, check_size, _to_facts)


def read_values(data: bytes, check_size: Callable[[int, int], None]) -> PixelValues:
    """Decode a single-frame DICOM image as `read` does, to its values before the window; colours to gray."""
    return _read(data, check_size, _to_values)


def _read(data: bytes, check_size: Callable[[int, int], None], make: Callable[[Dataset], T]) -> T:
    silence_pydicom()
    dicom_codecs.register()
    try:
        start = _PREAMBLE + 4 if data[_PREAMBLE : _PREAMBLE + 4] == _MAGIC else 0
        check_elements(data, start)
        _refuse_deflated(data, start)
        header = _parse(data)
        _refuse_unusable(header, check_size)
        return make(header)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise BrokenImage(f"The DICOM file does not decode. {_PIXELS_ADVICE}") from error


def _refuse_deflated(data: bytes, start: int) -> None:
    # pydicom inflates such a file whole before a single size can be looked at: a bomb.
    elements = io.BytesIO(data)
    elements.seek(start)
    meta = read_dataset(elements, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise BrokenImage(f"Deflated DICOM files are not read. {_PIXELS_ADVICE}")


def _parse(data: bytes) -> Dataset:
    header = dcmread(io.BytesIO(data), force=True)
    if "PixelData" not in header:
        # Some writers leave out the end of the last sequence. Pixels that were cut off swallow it.
        header = dcmread(io.BytesIO(data + _SEQUENCE_END), force=True)
        if bytes(header.get("PixelData") or b"").endswith(_SEQUENCE_END):
            raise BrokenImage("The DICOM file was cut off on its way. Send it again.")
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain
    if not header.get("PhotometricInterpretation") and header.get("SamplesPerPixel") == 1:
        # Which end of the grays is bone is found in the picture: model.exposed_field.
        header.PhotometricInterpretation = "MONOCHROME2"
    return header


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
    elif len(header.PixelData) < expected:
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
        if not frame.rstrip(b"\0").endswith(_END_OF_IMAGE):
            # The decoder of lossless JPEG fills what is missing.
            raise BrokenImage("The DICOM file's picture was cut off on its way. Send it again.")
    if (shape.width, shape.height, shape.samples) != (header.Columns, header.Rows, header.SamplesPerPixel):
        raise BrokenImage(f"The DICOM file's header and its picture differ in size. {_PIXELS_ADVICE}")
    if shape.bits > _MOST_BITS:
        raise BrokenImage(f"The DICOM image has over {_MOST_BITS} bits a sample. {_PIXELS_ADVICE}")
    if syntax in dicom_codecs.CODECS and header.SamplesPerPixel != 1:
        raise BrokenImage(f"The DICOM image is in colours, compressed as {syntax.name}. Export it as PNG.")


def _decoded_by(syntax: UID) -> str:
    """Name pydicom's plug-in for a transfer syntax; empty where none decodes it, or none may."""
    if syntax in dicom_codecs.CODECS:
        return dicom_codecs.PLUGIN if dicom_codecs.is_available(syntax) else ""
    return {JPEGBaseline8Bit: "pillow", RLELossless: "pydicom"}.get(syntax, "")


def _to_gray(header: Dataset) -> DicomImage:
    chroma, left_out = 0.0, tuple[str, ...]()
    if header.SamplesPerPixel == 1:
        gray, left_out = show(_stored(header), header)
    else:
        gray, chroma = _colours_to_gray(header, header.file_meta.TransferSyntaxUID)
    return DicomImage(gray, chroma, acquisition_of(header), left_out)


def _to_facts(header: Dataset) -> tuple[int, int, Acquisition]:
    if header.SamplesPerPixel == 1:
        show(_some_stored(header), header)
    else:
        _colours_to_gray(header, header.file_meta.TransferSyntaxUID)
    return int(header.Columns), int(header.Rows), acquisition_of(header)


def _some_stored(header: Dataset) -> np.ndarray:
    """Decode as `_stored` does, to fewer values."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax in (JPEG2000, JPEG2000Lossless):
        # As pixel_array does: it refuses a header without the elements that decoding needs.
        runner = DecodeRunner(syntax)
        runner.set_source(header)
        runner.validate()
        smallest = decode_smallest(get_frame(header.PixelData, 0, number_of_frames=1))
        if smallest is not None:
            return smallest
    return _stored(header)[::_STEP, ::_STEP]


def _to_values(header: Dataset) -> PixelValues:
    if header.SamplesPerPixel == 1:
        values = values_of(_stored(header), header)
    else:
        values = values_of_grays(_colours_to_gray(header, header.file_meta.TransferSyntaxUID)[0], 8)
    return replace(values, acquisition=acquisition_of(header))


def _stored(header: Dataset) -> np.ndarray:
    syntax = header.file_meta.TransferSyntaxUID
    # pydicom takes the lowest bits for pixels, wherever the High Bit is.
    stored = pixel_array(
        header, decoding_plugin=_decoded_by(syntax), correct_unused_bits=False, view_only=True
    )
    # RLE packs whole cells (PS3.5, annex G); a codec's samples begin at bit 0.
    return mask_to_stored_bits(stored, header, syntax.is_encapsulated and syntax != RLELossless)


def _colours_to_gray(header: Dataset, syntax: UID) -> tuple[np.ndarray, float]:
    decoder = _decoded_by(syntax)
    if syntax == JPEGBaseline8Bit:
        # Headers and codestreams differ in what they call RGB. Of a gray picture the samples themselves tell:
        # all alike, or a brightness beside two that are even.
        samples = pixel_array(header, raw=True, decoding_plugin=decoder)
        brightness, rest = samples[..., :1].astype(np.int16), samples[..., 1:].astype(np.int16)
        if min(np.abs(rest - brightness).mean(), np.abs(rest - 128).mean()) < _GRAY_DIFFERENCE:
            return np.ascontiguousarray(samples[..., 0]), 0.0
        if header.PhotometricInterpretation == "RGB" and shape_of(get_frame(header.PixelData, 0)).subsampled:
            header.PhotometricInterpretation = "YBR_FULL_422"
    stored = pixel_array(header, decoding_plugin=decoder)
    colours = stored if stored.dtype == np.uint8 else stretch(stored)
    gray = colours.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.round(gray).astype(np.uint8), chroma_of(colours)
