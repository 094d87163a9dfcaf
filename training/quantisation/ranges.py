"""Draws the range of each activation that int8 holds: the one with the least squared error on some X-rays."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from tqdm import tqdm

from model.bundle import Bundle
from model.engines.int8_graph import LEVELS, inputs_of_convolutions
from model.engines.onnx_runtime import MISLEADING
from model.letterbox import scale_pixels
from model.onnx_graph import INPUT, with_weights
from training.run.errors import StepRefused

_BATCH = 4
_BINS = 4096
_CANDIDATES = np.linspace(0.2, 1.0, 33)
"""Shares of the largest value that a range may be."""


class Histogram:
    """Counts the values above zero of a tensor. The bins become wider when a larger value comes."""

    def __init__(self) -> None:
        self.largest = 0.0
        self._top = 2.0**-20
        self._counts = np.zeros(_BINS)

    def add(self, values: np.ndarray) -> None:
        """Count float values of any shape; StepRefused where one is below zero, which int8 would cut off."""
        if values.min() < 0:
            raise StepRefused("a convolution takes values below zero, which the ranges of int8 do not have")
        self.largest = max(self.largest, float(values.max()))
        while self._top < self.largest:
            self._counts = np.append(self._counts.reshape(-1, 2).sum(axis=1), np.zeros(_BINS // 2))
            self._top *= 2
        self._counts += np.histogram(values[values > 0], _BINS, (0, self._top))[0]

    def best_range(self) -> float:
        """Choose the range under which rounding and cutting off add the least squared error.

        A value within the range is off by a twelfth of a squared step on average. Zero alone fits any range.
        """
        if not self.largest:
            return 1.0
        middles = (np.arange(_BINS) + 0.5) * self._top / _BINS
        ranges = self.largest * _CANDIDATES
        errors = [
            float(self._counts @ np.where(middles > one, (middles - one) ** 2, (one / LEVELS) ** 2 / 12))
            for one in ranges
        ]
        return float(ranges[np.argmin(errors)])


def draw_ranges(bundle: Bundle, squares: Sequence[np.ndarray]) -> dict[str, float]:
    """Draw the range of each convolution's input on squares, uint8 (size, size); by convolution."""
    model = onnx.load_from_string(with_weights(bundle))
    inputs = inputs_of_convolutions(model.graph)
    histograms = {tensor: Histogram() for tensor in inputs.values()}
    del model.graph.output[:]
    for tensor in histograms:
        model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"], disabled_optimizers=MISLEADING
    )
    for first in tqdm(range(0, len(squares), _BATCH), "drawing ranges", unit="batch"):
        pixels = scale_pixels(np.stack(squares[first : first + _BATCH]))
        seen = session.run(list(histograms), {INPUT: pixels.transpose(0, 3, 1, 2)})
        for histogram, values in zip(histograms.values(), seen, strict=True):
            histogram.add(values)
    chosen = {tensor: histogram.best_range() for tensor, histogram in histograms.items()}
    return {name: chosen[tensor] for name, tensor in inputs.items()}
