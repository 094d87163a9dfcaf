"""Encodes messages of OpenIGTLink, version 1 of the header: TRANSFORM, STRING and STATUS.

The protocol's lengths are millimetres, and its axes RAS. The checksum is CRC-64 of ECMA-182.
"""

import struct
from enum import IntEnum

import numpy as np

_POLYNOMIAL = 0x42F0E1EBA9EA3693
_ALL = 2**64 - 1
_ASCII, _UTF8 = 3, 106
"""Character sets, by their numbers at IANA."""
LONGEST_STRING = 2**16 - 1
"""Bytes that a STRING can hold."""


class Code(IntEnum):
    """What a STATUS says, of the protocol's list."""

    OK = 1
    TIME_OUT = 7
    NOT_READY = 13
    DISABLED = 15


def transform_message(device: str, stamp_ns: int | None, matrix_m: np.ndarray) -> bytes:
    """Return a TRANSFORM of a 4 x 4 matrix of our frames, in metres."""
    columns = to_ras_mm(matrix_m)[:3].T
    return _message("TRANSFORM", device, stamp_ns, columns.astype(">f4").tobytes())


def string_message(device: str, stamp_ns: int | None, text: bytes) -> bytes:
    """Return a STRING of a text in UTF-8. Raises ValueError above LONGEST_STRING bytes."""
    if len(text) > LONGEST_STRING:
        raise ValueError(
            f"a STRING of OpenIGTLink holds {LONGEST_STRING} bytes, and this one has {len(text)}"
        )
    header = struct.pack(">HH", _ASCII if text.isascii() else _UTF8, len(text))
    return _message("STRING", device, stamp_ns, header + text)


def status_message(device: str, stamp_ns: int | None, code: Code, text: str) -> bytes:
    """Return a STATUS with a sentence in ASCII."""
    name = code.name.encode()
    body = struct.pack(">Hq20s", code, 0, name) + text.encode("ascii") + b"\0"
    return _message("STATUS", device, stamp_ns, body)


def to_ras_mm(matrix_m: np.ndarray) -> np.ndarray:
    """Return a 4 x 4 matrix between our frames, in metres, as one between their RAS forms, in millimetres.

    Our x and y run as those of DICOM's LPS do, against R and A; z is the same. This is a convention of axes,
    and registers nothing to a patient.
    """
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    made = flip @ matrix_m @ flip
    made[:3, 3] *= 1000.0
    return made + 0.0  # no negative zeros


def _message(kind: str, device: str, stamp_ns: int | None, body: bytes) -> bytes:
    """Return header and body. A stamp of 0 says that none is known."""
    seconds, nanoseconds = divmod(stamp_ns or 0, 10**9)
    # The protocol's fraction counts 2^-32 s. Rounded up, a reader that rounds down gets the nanosecond back.
    fraction = -(-(nanoseconds << 32) // 10**9)
    names = kind.encode(), device.encode("ascii")
    return struct.pack(">H12s20sIIQQ", 1, *names, seconds, fraction, len(body), crc64(body)) + body


def crc64(data: bytes) -> int:
    """Return the checksum of a body."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & _ALL) ^ _TABLE[crc >> 56 ^ byte]
    return crc


def _row(byte: int) -> int:
    crc = byte << 56
    for _ in range(8):
        crc = (crc << 1 & _ALL) ^ (_POLYNOMIAL if crc >> 63 else 0)
    return crc


_TABLE = tuple(_row(byte) for byte in range(256))
