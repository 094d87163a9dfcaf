"""Pictures that are drawn and written on x86, in every format and depth whose bytes have an order."""

import io

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from model.synthetic import draw_forearm
from tests import pictures


def drawn() -> dict[str, bytes]:
    """Each picture's name and its file."""
    gray = draw_forearm(7).pixels
    deep = gray.astype(np.uint16) * 181 + 1000
    window = {"WindowCenter": 1000, "WindowWidth": 1000}
    dicom = pictures.dicom(gray, **window, RescaleSlope=2, RescaleIntercept=-100)
    return {
        "png": pictures.encoded(gray),
        "png in colour": pictures.encoded(pictures.colours()),
        "png of 16 bits": pictures.encoded(deep),
        "jpeg": pictures.encoded(gray, "JPEG", quality=92),
        "bmp": pictures.encoded(gray, "BMP"),
        "webp": pictures.encoded(gray, "WEBP", lossless=True),
        "tiff of 16 bits, little-endian": pictures.encoded(deep, "TIFF"),
        "tiff of 16 bits, big-endian": pictures.encoded(deep.astype(">u2"), "TIFF"),
        **_compressed_tiffs(deep),
        "tiff of 32 bits": pictures.encoded(deep.astype(np.int32), "TIFF"),
        "tiff of unsigned 32 bits, little-endian": pictures.tiff({"data": deep.astype(np.uint32) << 15}),
        "tiff of floats": pictures.encoded(deep.astype(np.float32), "TIFF"),
        "dicom": dicom,
        "dicom that counts from white": pictures.dicom(gray, PhotometricInterpretation="MONOCHROME1"),
        "dicom, implicit": _rewritten(dicom, ImplicitVRLittleEndian),
        "dicom, big-endian": _rewritten(dicom, ExplicitVRBigEndian),
    }


def _compressed_tiffs(deep: np.ndarray) -> dict[str, bytes]:
    """TIFF files by deflate of every kind of numbers that Pillow reads, in both byte orders."""
    kinds = {"16 bits": "u2", "signed 16 bits": "i2", "32 bits": "u4", "signed 32 bits": "i4", "floats": "f4"}
    return {
        f"tiff of {kind}, deflated, {name}": pictures.tiff(
            {"data": (deep // 2).astype(type_), "compression": "zlib"}, byteorder=order
        )
        for kind, type_ in kinds.items()
        for name, order in (("little-endian", "<"), ("big-endian", ">"))
    }


def _rewritten(dicom: bytes, syntax: pydicom.uid.UID) -> bytes:
    """The same image in another transfer syntax."""
    dataset = pydicom.dcmread(io.BytesIO(dicom))
    dataset.decode()
    if not syntax.is_little_endian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
