"""Pictures that the tests draw themselves: synthetic, and broken in every way that was named."""

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from tifffile import TiffWriter

from model.decode_processes.coding import CODINGS

SHAPE = (96, 128)


def gray() -> np.ndarray:
    """A soft bright bar on black, uint8."""
    x = np.linspace(-3, 3, SHAPE[1])
    noise = np.random.default_rng(7).normal(0, 4, SHAPE)
    return np.clip(220 * np.exp(-(x**2)) + noise, 0, 255).astype(np.uint8)


def encoded(array: np.ndarray, format_: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    """`array` as a file of this format."""
    picture = Image.fromarray(array)
    file = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(file, format_, **options)
    return file.getvalue()


def tiff(*pages: dict, byteorder: Literal["<", ">"] = "<", bigtiff: bool = False) -> bytes:
    """A TIFF of these pages, each what TiffWriter.write takes."""
    file = io.BytesIO()
    with TiffWriter(file, byteorder=byteorder, bigtiff=bigtiff) as writer:
        for page in pages:
            writer.write(**{"photometric": "minisblack", "metadata": None, **page})
    return file.getvalue()


def _whole_of_zstd(body: bytes) -> bytes:
    from imagecodecs import zstd_decode

    return bytes(zstd_decode(body))


_WHOLE = {"zstd": _whole_of_zstd, "gzip": lambda body: zlib.decompress(body, 31)}
WHOLE = {coding: _WHOLE[coding] for coding in CODINGS}
"""What undoes each coding in which pixels are sent on this machine."""


def colours() -> np.ndarray:
    """Three bright bands, as no X-ray has them."""
    picture = np.zeros((*SHAPE, 3), np.uint8)
    picture[:, :40], picture[:, 40:80], picture[:, 80:] = (230, 20, 20), (20, 220, 30), (30, 30, 240)
    return picture


def truncated_jpeg() -> bytes:
    """A JPEG that was cut off on its way."""
    whole = encoded(gray(), "JPEG", quality=95)
    return whole[: len(whole) // 2]


def bomb(side: int = 30_000) -> bytes:
    """A PNG of a few kilobytes whose header is true and whose pixels would fill the memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * ((side + 1) * 100), 9)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated_webp() -> bytes:
    """Two frames."""
    file = io.BytesIO()
    frame = Image.fromarray(gray())
    frame.save(file, "WEBP", save_all=True, append_images=[frame.rotate(90)], duration=100)
    return file.getvalue()


def dicom_of_a_study(array: np.ndarray, **attributes: Any) -> bytes:
    """A DICOM file as a modality would send it, with a patient and a study."""
    patient = {"PatientBirthDate": "19500104", "PatientSex": "F", "PatientID": "PID-4711"}
    study = {"StudyInstanceUID": "1.2.3.4", "StudyDate": "20260101", "StudyTime": "101112", "StudyID": "1"}
    series = {"SeriesInstanceUID": "1.2.3.4.5", "Modality": "DX", "AccessionNumber": "A1"}
    return dicom(array, **{**patient, **study, **series, **attributes})


def dicom(
    array: np.ndarray | None = None,
    frames: int = 1,
    cut: int = 0,
    codestream: bytes = b"",
    syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> bytes:
    """A DICOM file of 16 bits, without pixels where `array` is None, with `cut` bytes missing at its end.

    Its pixels are the array's, times 16, or `codestream`, which is then what `syntax` makes of them.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientName = "Doe^Synthetic"
    dataset.PatientID = "PID-4711"
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    if array is not None:
        dataset.Rows, dataset.Columns = array.shape
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            12,
            11,
            0,
        )
        values = (array.astype(np.uint16) * 16).astype("<u2")
        dataset.PixelData = encapsulate([codestream]) if codestream else values.tobytes() * frames
        if frames > 1:
            dataset.NumberOfFrames = frames
    for name, value in attributes.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()[: -cut or None]


def compressed_dicom(array: np.ndarray, syntax: str, frame: bytes | None = None, **attributes: Any) -> bytes:
    """A DICOM file around one compressed `frame`; pydicom compresses `array` where there is none."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(array, **attributes)))
    if frame is None:
        dataset.compress(syntax)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
