"""Tests that tables and differences of whole numbers are exact in every type, and of any size."""

import numpy as np
import pytest

from model.decode.scaling import above, from_bits, look_up


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "i8"])
def test_differences_to_the_lowest_are_exact_in_every_type(kind: str):
    info = np.iinfo(kind)
    lowest = max(int(info.min), -40_000)
    values = np.linspace(lowest, min(lowest + 65_535, int(info.max)), 3_000).astype(np.int64)
    expected = values - lowest
    np.testing.assert_array_equal(above(lowest, values.astype(kind)), expected)
    assert above(lowest, values.astype(kind)).dtype == np.uint16


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (256, 256), (300, 700)])
def test_a_table_is_looked_up_for_every_pixel(shape: tuple[int, int]):
    index = np.random.default_rng(1).integers(0, 4_096, shape).astype(np.uint16)
    table = np.arange(4_096)[::-1].astype(np.uint16)
    np.testing.assert_array_equal(look_up(table, index), table[index])
    np.testing.assert_array_equal(look_up(table, index.T), table[index.T])


@pytest.mark.parametrize("bits", [8, 9, 12, 15, 16, 17, 31])
@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "i8"])
def test_grays_are_scaled_by_their_bits_to_the_last_bit(kind: str, bits: int):
    full = 2**bits - 1
    brightest = min(full, int(np.iinfo(kind).max))
    values = np.linspace(0, brightest, 80_000).astype(np.int64).astype(kind).reshape(200, 400)
    bits_used = max(8, brightest.bit_length())
    expected = np.round(values * np.float32(255.0 / (2**bits_used - 1))).astype(np.uint8)
    np.testing.assert_array_equal(from_bits(values), expected)
