"""Defines the loss of a training step, one for each head, in Keras operations of any backend."""

from collections.abc import Callable
from typing import Any

UNKNOWN = -1.0
"""In place of 0 or 1 in a cell that is not known to be fractured or intact; the loss leaves it out."""


def cells_loss(cell_weight: float) -> Callable[[Any, Any], Any]:
    """Make the loss of the `where` head: weighted cross-entropy plus 1 - Dice, over (n, h, w, 1).

    Cross-entropy alone is content with "nowhere", since nearly all cells are intact; Dice is not.
    """
    from keras import ops

    def loss(truth: Any, predicted: Any) -> Any:
        known = ops.cast(truth >= 0, "float32")
        truth = truth * known
        predicted = ops.clip(ops.cast(predicted, "float32"), 1e-6, 1 - 1e-6) * known
        entropy = -(
            cell_weight * truth * ops.log(predicted + 1 - known) + (1 - truth) * ops.log(1 - predicted)
        )
        overlap = 2 * ops.sum(truth * predicted) + 1
        dice = overlap / (ops.sum(truth) + ops.sum(predicted) + 1)
        return ops.mean(entropy) + 1 - dice

    return loss
