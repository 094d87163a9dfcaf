"""Scores X-rays by a Keras network: for the curves of `train`, for `select` and for `evaluate`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from model.letterbox import scale_pixels
from model.network import FRACTURE, STRIDE, WHERE

if TYPE_CHECKING:
    import keras

_BATCH = 16


@dataclass(frozen=True, eq=False)
class Scores:
    """`fracture` float32 (n,) and `where` float32 (n, h, w), in 0..1; `where` is zero without that head."""

    fracture: np.ndarray
    where: np.ndarray


def score(network: "keras.Model", squares: Sequence[np.ndarray], label: str) -> Scores:
    """Run the network over squares, uint8 (size, size), of its input size; `label` names the progress bar."""
    outputs = list(_outputs(network, squares, label))
    return Scores(np.concatenate([f for f, _ in outputs]), np.concatenate([w for _, w in outputs]))


def _outputs(
    network: "keras.Model", squares: Sequence[np.ndarray], label: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in tqdm(range(0, len(squares), _BATCH), label, unit="batch"):
        inputs = scale_pixels(np.stack(squares[start : start + _BATCH]))
        missing = _BATCH - len(inputs)
        # One shape for all batches: a backend that compiles would compile the last one anew.
        padded = np.concatenate([inputs, np.zeros((missing, *inputs.shape[1:]), np.float32)])
        outputs = network.predict_on_batch(padded)
        cells = inputs.shape[1] // STRIDE
        where = outputs[WHERE][..., 0] if WHERE in outputs else np.zeros((_BATCH, cells, cells), np.float32)
        yield outputs[FRACTURE][: len(inputs), 0], where[: len(inputs)]
