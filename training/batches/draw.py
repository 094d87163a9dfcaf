"""Draws the batch of any step from the seed alone, so that a resumed run sees the same X-rays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.batches.augment import augment
from training.batches.examples import Example
from training.run.config import Phase
from training.run.errors import StepRefused


@dataclass(frozen=True, eq=False)
class Batch:
    """`x` float32 (n, size, size, 1); `fracture` float32 (n, 1); `where` float32 (n, size/16, size/16, 1)."""

    x: np.ndarray
    fracture: np.ndarray
    where: np.ndarray


@dataclass(frozen=True, eq=False)
class _Class:
    """The examples of one source with one label, and how many of them are in each batch.

    `located` are those that windows may be drawn from.
    """

    label: bool
    count: int
    examples: Sequence[Example]
    located: Sequence[Example]


class Batches:
    """Batches with a fixed share of fractured images of each source; a class is drawn evenly.

    With another share for each source, the look of a source with many fractures would predict one.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batch_size: int,
        positive_share: float,
        seed: int,
        source_shares: Mapping[str, float] | None = None,
    ) -> None:
        """Hold the training part; StepRefused if it, or a source that has a share, lacks a class."""
        self._classes: list[_Class] = []
        for pool, size in _pools(examples, batch_size, source_shares or {}):
            positives = round(size * positive_share)
            # Fractured images without marks give no windows. Neither may the intact ones of their source, or
            # its look would predict that there is no fracture.
            marked = {example.entry.source for example in pool if example.boxes}
            for label, count in ((True, positives), (False, size - positives)):
                of_class = [example for example in pool if example.fractured is label]
                located = [e for e in of_class if e.located and e.entry.source in marked]
                self._classes.append(_Class(label, count, of_class, located))
        self._seed = seed

    def draw(self, step: int, phase: Phase) -> Batch:
        """Make the batch of this step of the whole run, a step of `phase`, as `augment` varies it.

        Of a phase of windows, only a window with a fracture in it counts as fractured; StepRefused if no
        image has its fractures marked.
        """
        chosen, random = self.choose(step, phase)
        drawn = [augment(example, phase, random) for example in chosen]
        where = np.stack([where for _, where in drawn])
        fractured = np.array([example.fractured for example in chosen])
        if phase.window < 1:
            fractured = where.max(axis=(1, 2, 3)) > 0
        return Batch(
            x=np.stack([x for x, _ in drawn]), fracture=fractured[:, None].astype(np.float32), where=where
        )

    def choose(self, step: int, phase: Phase) -> tuple[list[Example], np.random.Generator]:
        """Choose the examples of a step, and the generator of their variations; StepRefused as by `draw`."""
        classes = self._windows() if phase.window < 1 else self._classes
        chosen = [
            self._nth(place, number, one.located if phase.window < 1 else one.examples)
            for place, one in enumerate(classes)
            for number in range(step * one.count, (step + 1) * one.count)
        ]
        return chosen, np.random.default_rng([self._seed, step])

    def _windows(self) -> list[_Class]:
        """Count how many windows come from each class: sources without marks leave theirs to the others."""
        classes = [one for one in self._classes if one.located]
        if {one.label for one in classes} != {True, False}:
            raise StepRefused("windows need fractured images with boxes")
        shared: list[_Class] = []
        for label in (True, False):
            of_label = [one for one in classes if one.label is label]
            total = sum(one.count for one in self._classes if one.label is label)
            counts = _share_out(total, [one.count for one in of_label])
            shared += [replace(one, count=count) for one, count in zip(of_label, counts, strict=True)]
        return shared

    def _nth(self, place: int, number: int, examples: Sequence[Example]) -> Example:
        """Go through a class in an order shuffled anew each round."""
        turn, at = divmod(number, len(examples))
        return examples[np.random.default_rng([self._seed, place, turn]).permutation(len(examples))[at]]


def _pools(
    examples: Sequence[Example], batch_size: int, source_shares: Mapping[str, float]
) -> list[tuple[list[Example], int]]:
    """Divide the examples by source, each with its number of places in a batch.

    Sources with one class alone join the largest: alone, their look would be their label.
    """
    sources: dict[str, list[Example]] = {}
    for example in examples:
        sources.setdefault(example.entry.source, []).append(example)
    if {example.fractured for example in examples} != {True, False}:
        raise StepRefused("the training part needs fractured and intact images")
    if missing := set(source_shares) - set(sources):
        raise StepRefused(
            f"source_shares names {', '.join(sorted(missing))}, of which the training part has nothing"
        )
    if sum(source_shares.values()) > 1:
        raise StepRefused("source_shares add up to more than 1")
    whole = {name: {e.fractured for e in pool} == {True, False} for name, pool in sources.items()}
    if lacking := [name for name in source_shares if not whole[name]]:
        raise StepRefused(
            f"{', '.join(lacking)} has a share of each batch and lacks fractured or intact images"
        )
    largest = max(sources, key=lambda name: (whole[name], len(sources[name])))
    for name in [name for name in sources if not whole[name] and name != largest]:
        sources[largest] += sources.pop(name)
    named = sum(source_shares.values())
    rest = sum(len(pool) for name, pool in sources.items() if name not in source_shares)
    weights = [
        source_shares.get(name, (1 - named) * len(pool) / max(rest, 1)) for name, pool in sources.items()
    ]
    return list(zip(sources.values(), _share_out(batch_size, weights), strict=True))


def _share_out(total: int, weights: Sequence[float]) -> list[int]:
    """Divide `total` in whole numbers by weight, largest remainders first."""
    exact = np.array(weights, float) / max(sum(weights), 1e-9) * total
    counts = np.floor(exact).astype(int)
    for place in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[place] += 1
    return [int(count) for count in counts]
