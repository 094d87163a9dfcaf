"""Reads and writes the weight file of a bundle: kernels in int8 with a scale per output channel.

One .npz without pickle, little-endian whatever machine wrote it. Why int8: docs/decisions/0002.
"""

from collections.abc import Iterator
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


def write_weights(path: Path, model: "keras.Model") -> None:
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


def read_weights(path: Path, model: "keras.Model") -> None:
    """Fill `model`; BundleRefused where a weight is missing, has another shape or is left over."""
    variables = {variable.path: variable for variable in model.weights}
    for name, values in each_weight(path):
        if name not in variables:
            raise BundleRefused(f"{path.name} holds {name}, which this network does not have")
        variable = variables.pop(name)
        if values.shape != tuple(variable.shape):
            raise BundleRefused(f"{path.name} has {name} as {values.shape}, not {variable.shape}")
        variable.assign(values)
    if variables:
        raise BundleRefused(f"{path.name} lacks {min(variables)}; it was made for another network")


def each_weight(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Each weight's name in Keras and its values: float32 in this machine's own byte order, one at a time.

    Foreign byte order must not leave here: ONNX Runtime misreads it without an error.
    """
    with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
            if not name.endswith(_SCALE):
                values = stored[name]
                if values.dtype == np.int8:
                    values = dequantise(values, stored[name + _SCALE])
                yield name, np.ascontiguousarray(values, np.float32)


def int8_kernels(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the kernels as they are stored, by name: int8 (..., out) and its scale, float32 (out,)."""
    with np.load(path, allow_pickle=False) as stored:
        return {
            name.removesuffix(_SCALE): (stored[name.removesuffix(_SCALE)], stored[name].astype(np.float32))
            for name in stored.files
            if name.endswith(_SCALE)
        }
