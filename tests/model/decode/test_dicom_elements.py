"""The elements of a DICOM file are counted as pydicom reads them: implicitly or explicitly, in each part."""

import io
import struct

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from model.decode.image import BrokenImage, decode, decode_values, describe
from tests import pictures

GRAY = pictures.gray()
MANY = 10_001
FAR = b"\xff\xff\xff\x7f"
"""A length that leads out of every file."""


def implicit(array: np.ndarray, elements: bytes = b"", **attributes: object) -> bytes:
    """An image in Implicit VR Little Endian, with these elements behind the first one of its dataset."""
    dataset = pydicom.dcmread(io.BytesIO(pictures.dicom(array, **attributes)))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=True, enforce_file_format=True)
    whole = file.getvalue()
    first = whole.index(b"\x08\0\x16\0")
    behind = first + 8 + struct.unpack_from("<I", whole, first + 4)[0]
    return whole[:behind] + elements + whole[behind:]


def with_black_rows(rows: int, columns: int, black: int) -> np.ndarray:
    """Pixels of a radiograph whose collimator leaves the upper rows black."""
    array = np.tile(GRAY, (rows // len(GRAY) + 1, columns // GRAY.shape[1] + 1))[:rows, :columns].copy()
    array[:black] = 0
    return array


@pytest.mark.parametrize(("rows", "columns"), [(2003, 1723), (2006, 1785), (2007, 1735)])
def test_a_length_that_reads_as_a_vr_is_a_length(rows: int, columns: int):
    array = with_black_rows(rows, columns, 500)
    length = struct.pack("<I", rows * columns * 2)
    assert length[:2].isalpha()
    assert length[:2].isupper()
    file = implicit(array)
    assert np.array_equal(decode(file).pixels, decode(pictures.dicom(array)).pixels)
    assert describe(file).width == columns
    assert np.array_equal(decode_values(file).pixels, decode_values(pictures.dicom(array)).pixels)


@pytest.mark.parametrize("before", [b"", struct.pack("<HHI", 0x0002, 0x00F0, 0)])
def test_no_length_that_reads_as_a_vr_hides_elements(before: bytes):
    behind = struct.pack("<HHI", 0x0009, 0x1001, 0x424F) + FAR + bytes(0x424F - len(FAR))
    many = struct.pack("<HHI", 0x0009, 0x1002, 0) * MANY
    with pytest.raises(BrokenImage, match="more than 10,000 elements"):
        decode(implicit(GRAY, before + behind + many))


def test_a_command_set_says_nothing_about_the_rest():
    whole = pictures.dicom(GRAY)
    start = whole.index(b"\x08\0\x16\0UI")
    command = struct.pack("<HHII", 0, 0, 4, 0)
    many = b"\x09\0\x01\x10OB\0\0" + struct.pack("<I", 0) + b"\x09\0\x02\x10SH\0\0" * MANY
    with pytest.raises(BrokenImage, match="more than 10,000 elements"):
        decode(whole[:start] + command + many + whole[start:])


@pytest.mark.parametrize("vr", [b"B\0", b"A\xff", b"YZ", b"M?"])
def test_a_vr_that_is_none_is_counted_as_pydicom_reads_it(vr: bytes):
    whole = pictures.dicom(GRAY, syntax=ExplicitVRLittleEndian)
    start = whole.index(b"\x08\0\x18\0UI")
    behind = b"\x09\0\x01\x10" + vr + struct.pack("<H", 2) + b"AB"
    many = b"\x09\0\x02\x10SH\0\0" * MANY
    assert np.array_equal(decode(whole[:start] + behind + whole[start:]).pixels, decode(whole).pixels)
    with pytest.raises(BrokenImage, match="more than 10,000 elements"):
        decode(whole[:start] + behind + many + whole[start:])
