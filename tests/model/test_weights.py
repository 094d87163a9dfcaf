from pathlib import Path

import numpy as np
import pytest

from model.errors import BundleRefused
from model.network import build
from model.weights import dequantise, quantise, read_weights, write_weights


def test_rounding_is_off_by_half_a_step_of_its_channel_at_most():
    kernel = np.random.default_rng(0).normal(0, [0.001, 1.0, 300.0], (3, 3, 8, 3)).astype(np.float32)
    rounded, scale = quantise(kernel)
    assert (rounded.dtype, scale.shape) == (np.int8, (3,))
    off = np.abs(dequantise(rounded, scale) - kernel)
    assert (off <= scale * 0.5001).all()
    assert np.allclose(scale, np.abs(kernel).max(axis=(0, 1, 2)) / 127)


def test_a_channel_of_zeros_stays_zero():
    rounded, scale = quantise(np.zeros((3, 3, 4, 2), np.float32))
    assert not dequantise(rounded, scale).any()


def test_another_network_is_refused(tmp_path: Path):
    small = build(64, "ResNet50V2", width=64)
    write_weights(tmp_path / "weights.npz", small)
    with pytest.raises(BundleRefused, match="has deep_conv1/kernel as"):
        read_weights(tmp_path / "weights.npz", build(64, "ResNet50V2", width=128))


def test_weights_come_back_and_vectors_exactly(tmp_path: Path):
    written, read = build(64, "ResNet50V2", width=64), build(64, "ResNet50V2", width=64)
    write_weights(tmp_path / "weights.npz", written)
    read_weights(tmp_path / "weights.npz", read)
    for before, after in zip(written.weights, read.weights, strict=True):
        exact, stored = np.asarray(before), np.asarray(after)
        if exact.ndim < 2:
            assert np.array_equal(exact, stored)
        else:
            assert np.abs(exact - stored).max() <= np.abs(exact).max() / 127
