"""Messages of OpenIGTLink against pyigtl, and the checksum against crcmod."""

import random
import struct
from typing import Any

import crcmod
import numpy as np
import pyigtl
import pytest

from robot.igtl.messages import (
    LONGEST_STRING,
    Code,
    crc64,
    status_message,
    string_message,
    to_ras_mm,
    transform_message,
)

STAMP_NS = 1_795_435_180_123_456_789
crc64_of_crcmod = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, rev=False, xorOut=0)


def unpacked(message: bytes) -> Any:
    """A message as pyigtl reads it, its checksum and length being right: pyigtl does not check them."""
    header = pyigtl.MessageBase.parse_header(message[:58])
    length, checksum = struct.unpack(">QQ", message[42:58])
    assert (length, checksum) == (len(message) - 58, crc64_of_crcmod(message[58:]))
    made = pyigtl.MessageBase.create_message(header["message_type"])
    made.unpack(header, message[58:])
    return made


@pytest.mark.parametrize("length", [0, 1, 7, 8, 1000])
def test_the_checksum_is_that_of_crcmod(length: int):
    data = random.Random(length).randbytes(length)
    assert crc64(data) == crc64_of_crcmod(data)


def test_pyigtl_reads_a_transform_in_millimetres_and_ras():
    matrix = np.eye(4)
    matrix[:3, 3] = 0.001, 0.002, 1.05
    read = unpacked(transform_message("DetectorToSource", STAMP_NS, matrix))
    assert (read.device_name, read.message_type) == ("DetectorToSource", "TRANSFORM")
    assert read.matrix[:3, 3] == pytest.approx([-1, -2, 1050])
    assert read.matrix[:3, :3] == pytest.approx(np.eye(3))
    assert read.timestamp == pytest.approx(STAMP_NS / 1e9, abs=1e-6)


def test_a_turn_is_the_same_turn_in_ras():
    turn = np.eye(4)
    turn[:2, :2] = [[0, -1], [1, 0]]  # x becomes y
    point, ras = np.array([0.03, 0.02, 0.5, 1]), np.diag([-1000, -1000, 1000, 1])
    assert to_ras_mm(turn) @ ras @ point == pytest.approx(ras @ turn @ point)


@pytest.mark.parametrize("text", ['{"job": "job_1"}', '{"meaning": "Fémur"}', "a" * LONGEST_STRING])
def test_pyigtl_reads_a_string_as_it_was(text: str):
    read = unpacked(string_message("Targets", None, text.encode()))
    assert (read.string, read.timestamp) == (text, 0)


def test_a_string_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="65535"):
        string_message("Targets", None, b"a" * (LONGEST_STRING + 1))


@pytest.mark.parametrize("nanoseconds", [0, 1, 123_456_789, 999_999_999])
def test_a_stamp_keeps_its_nanoseconds(nanoseconds: int):
    header = status_message("Osteo", 10**9 + nanoseconds, Code.OK, "")[34:42]
    seconds, fraction = struct.unpack(">II", header)
    assert (seconds, fraction * 10**9 >> 32) == (1, nanoseconds)


def test_a_status_has_its_code_name_and_sentence():
    body = status_message("Osteo", STAMP_NS, Code.NOT_READY, "Wait.")[58:]
    assert struct.unpack(">Hq20s", body[:30]) == (13, 0, b"NOT_READY".ljust(20, b"\0"))
    assert body[30:] == b"Wait.\0"
