"""The weight file of a bundle: kernels as int8 with a scale per output channel, the rest as float32.

One .npz without pickle, little-endian whatever machine wrote it. Why int8: docs/decisions/0002.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.errors import BundleRefused

if TYPE_CHECKING:
    import keras

_SCALE = ":scale"


def quantise(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round float32 (..., out) to int8 of the same shape and float32 (out,): kernel = int8 * scale.

    Symmetric: the largest magnitude of a channel becomes 127, so a value is off by half a scale at most.
    """
    largest = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)
    scale = np.where(largest > 0, largest / 127.0, 1.0).astype("<f4")
    return np.round(kernel / scale).astype(np.int8), scale


def dequantise(rounded: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Undo `quantise`, up to its rounding."""
    return rounded.astype(np.float32) * scale.astype(np.float32)


def write_weights(path: Path, model: keras.Model) -> None:
    """Write the weights of `model`, each under its path in the model."""
    arrays: dict[str, np.ndarray] = {}
    for variable in model.weights:
        values = np.asarray(variable, dtype="<f4")
        if values.ndim >= 2:
            arrays[variable.path], arrays[variable.path + _SCALE] = quantise(values)
        else:
            arrays[variable.path] = values
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_weights(path: Path, model: keras.Model) -> None:
    """Fill `model`; BundleRefused where a weight is missing, has another shape or is left over."""
    with np.load(path, allow_pickle=False) as stored:
        unread = {name for name in stored.files if not name.endswith(_SCALE)}
        for variable in model.weights:
            if variable.path not in unread:
                raise BundleRefused(f"{path.name} lacks {variable.path}; it was made for another network")
            unread.remove(variable.path)
            values = stored[variable.path]
            if values.dtype == np.int8:
                values = dequantise(values, stored[variable.path + _SCALE])
            if values.shape != tuple(variable.shape):
                raise BundleRefused(
                    f"{path.name} has {variable.path} as {values.shape}, not {variable.shape}"
                )
            variable.assign(values)
    if unread:
        raise BundleRefused(f"{path.name} holds {min(unread)}, which this network does not have")
