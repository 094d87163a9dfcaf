"""Draws the batch of any step from the seed alone, so that a resumed run sees what it would have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.augment import augment
from training.config import Phase
from training.examples import Example
from training.refused import Refused


@dataclass(frozen=True, eq=False)
class Batch:
    """`x` float32 (n, size, size, 1); `fracture` float32 (n, 1); `where` float32 (n, size/16, size/16, 1)."""

    x: np.ndarray
    fracture: np.ndarray
    where: np.ndarray


class Batches:
    """Batches with a fixed share of fractured images; within a class every image comes up equally often."""

    def __init__(
        self, examples: Sequence[Example], batch_size: int, positive_share: float, seed: int
    ) -> None:
        """Hold the training part; Refused if a class is missing from it."""
        self._classes = [[e for e in examples if e.fractured is label] for label in (True, False)]
        if not all(self._classes):
            raise Refused("the training part needs fractured and intact images")
        # Where a source marks nothing, its fractured images give no windows; nor may its intact ones, or the
        # look of a source would say that nothing is broken.
        marked = {example.entry.source for example in examples if example.boxes}
        self._located = [
            [e for e in of_class if e.located and e.entry.source in marked] for of_class in self._classes
        ]
        positives = round(batch_size * positive_share)
        self._counts = [positives, batch_size - positives]
        self._seed = seed

    def draw(self, step: int, phase: Phase) -> Batch:
        """Make the batch of this step of the whole run, a step of `phase`, as `training.augment` varies it.

        Of a phase of windows, only a window with a fracture in it counts as fractured; Refused if no image
        says where its fractures are.
        """
        chosen, random = self.choose(step, phase)
        drawn = [augment(example, phase.input_size, random, phase.window, phase.tones) for example in chosen]
        where = np.stack([where for _, where in drawn])
        fractured = np.array([example.fractured for example in chosen])
        if phase.window < 1:
            fractured = where.max(axis=(1, 2, 3)) > 0
        return Batch(
            x=np.stack([x for x, _ in drawn]), fracture=fractured[:, None].astype(np.float32), where=where
        )

    def choose(self, step: int, phase: Phase) -> tuple[list[Example], np.random.Generator]:
        """Choose the examples of a step, and what their variations are drawn from; Refused as by `draw`."""
        windows = phase.window < 1
        if windows and not all(self._located):
            raise Refused("windows need fractured images with boxes")
        chosen = [
            self._nth(number, label, self._located if windows else self._classes)
            for label, count in enumerate(self._counts)
            for number in range(step * count, (step + 1) * count)
        ]
        return chosen, np.random.default_rng([self._seed, step])

    def _nth(self, number: int, label: int, classes: Sequence[Sequence[Example]]) -> Example:
        """Go through a class in an order shuffled anew each round."""
        examples = classes[label]
        turn, place = divmod(number, len(examples))
        return examples[np.random.default_rng([self._seed, label, turn]).permutation(len(examples))[place]]
