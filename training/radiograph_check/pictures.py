"""Gathers the pictures that the check for X-rays is fitted and measured on, for `training.fit_check`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from tqdm import tqdm

from model.decode.image import decode
from model.letterbox import to_square
from model.synthetic import draw_forearm
from training.data.other_pictures import draw_page, read_some
from training.data.split import TRAIN, VALIDATION
from training.evaluation.perturbations import add_grain, as_delivered, reduce_to

_SEED = 20261129
_HELD_OUT = 5
"""One kind of photograph in so many is kept apart."""
_REDUCED, _SIDES = 0.3, (64, 96, 128)
"""Share of the X-rays that are reduced, and to how many pixels. The photographs at hand are that small:
unless X-rays are too, the check learns sharpness."""
_DELIVERED_XRAYS, _DELIVERED_PHOTOGRAPHS, _GRAINY_PHOTOGRAPHS = 0.6, 0.25, 0.3
_GRAIN = (2.0, 12.0)
_WAYS = 360
"""Numbers for `as_delivered`: each of its ways, and turns by many angles."""

Xrays = Sequence[tuple[Path, str, str]]
"""Path, group and source of each."""


@dataclass(frozen=True)
class Amounts:
    """How many pictures the check is fitted and measured on.

    Of other X-rays and of pages, half are fitted on. Of photographs and of other X-rays it is a number for
    each archive. `reduced` X-rays of the validation part are measured reduced as well.
    """

    xrays: int = 1400
    other_xrays: int = 300
    drawings: int = 20
    photographs: int = 600
    pages: int = 120
    reduced: int = 200


@dataclass(frozen=True, eq=False)
class Pictures:
    """Inputs of the network, uint8 (n, size, size), group and source of each, and whether it was reduced.

    A group is a patient's X-rays or a kind of photographs. A source is a collection of X-rays, or all
    pictures that are not of one.
    """

    squares: np.ndarray
    groups: np.ndarray
    sources: np.ndarray
    reduced: np.ndarray

    def __getitem__(self, chosen: slice | np.ndarray) -> Self:
        """Choose some of them."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __add__(self, more: Self) -> Self:
        """Put more of them behind these."""
        names = [field.name for field in fields(self)]
        return type(self)(*(np.concatenate([getattr(self, name), getattr(more, name)]) for name in names))


@dataclass(frozen=True, eq=False)
class Gathered:
    """What is fitted on, X-rays and others, and what is measured, by the name of its row in the card."""

    xrays: Pictures
    others: Pictures
    measured: dict[str, Pictures]


def gather(
    size: int,
    parts: Mapping[str, Xrays],
    photographs: Sequence[Path],
    other_xrays: Sequence[Path],
    amounts: Amounts,
) -> Gathered:
    """Read, draw and change all pictures; the same arguments give the same pixels.

    `size` is that of the network's input. All photographs of a kind, of any archive, are either fitted on or
    measured. Other X-rays have no groups. StepRefused where an archive cannot be read.
    """
    random = np.random.default_rng(_SEED)

    def squares(
        name: str,
        pictures: Iterable[np.ndarray],
        groups: Sequence[str],
        change: _Change,
        sources: Sequence[str] | None = None,
    ) -> Pictures:
        changed = [change(pixels, random) for pixels in tqdm(pictures, name, len(groups), unit="image")]
        made = np.array([to_square(pixels, size) for pixels, _ in changed], np.uint8)
        return Pictures(
            made.reshape(-1, size, size),
            np.array(groups, str),
            np.array(sources or [name] * len(groups), str),
            np.array([r for _, r in changed], bool),
        )

    def xrays(name: str, some: Xrays, change: _Change) -> Pictures:
        pixels = (decode(path.read_bytes()).pixels for path, *_ in some)
        return squares(name, pixels, [g for _, g, _ in some], change, [s for *_, s in some])

    learned = [parts[TRAIN][i] for i in random.permutation(len(parts[TRAIN]))[: amounts.xrays]]
    held = [parts[VALIDATION][i] for i in random.permutation(len(parts[VALIDATION]))]
    elsewhere = [pixels for path in other_xrays for pixels in read_some(path, amounts.other_xrays)[0]]
    numbers = [f"elsewhere {i}" for i in range(len(elsewhere))]
    drawings = (draw_forearm(seed, fracture=seed % 2 == 0).pixels for seed in range(amounts.drawings))
    pages = squares(
        "pages", map(draw_page, range(amounts.pages)), [f"page {i}" for i in range(amounts.pages)], _keep
    )
    photos, kinds, unseen = [], [], []
    for path in photographs:
        read, of = read_some(path, amounts.photographs)
        names = random.permutation(np.unique(of))
        unseen += list(names[: max(1, len(names) // _HELD_OUT)])
        photos += read
        kinds += list(of)
    photographed = squares("photographs", photos, kinds, _change_photograph)
    apart = np.isin(photographed.groups, unseen)
    measured = {
        "xrays": xrays("X-rays of the validation part", held, _deliver),
        "reduced_xrays": xrays("the same, reduced", held[: amounts.reduced], _reduce),
        "photographs": photographed[apart],
        "pages": pages[1::2],
    }
    if elsewhere:
        measured["other_xrays"] = squares("other X-rays, measured", elsewhere[1::2], numbers[1::2], _deliver)
    return Gathered(
        xrays("X-rays of the training part", learned, _change_xray)
        + squares("drawings", drawings, [f"drawing {i}" for i in range(amounts.drawings)], _change_xray)
        + squares("other X-rays", elsewhere[::2], numbers[::2], _change_xray),
        photographed[~apart] + pages[::2],
        measured,
    )


_Change = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, bool]]
"""Changes a picture, and says whether it was reduced."""


def _keep(pixels: np.ndarray, _: np.random.Generator) -> tuple[np.ndarray, bool]:
    return pixels, False


def _deliver(pixels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Change most X-rays as archives, scanners and phones do."""
    changed = random.random() < _DELIVERED_XRAYS
    return as_delivered(pixels, int(random.integers(_WAYS))) if changed else pixels, False


def _reduce(pixels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, bool]:
    return _deliver(reduce_to(pixels, int(random.choice(_SIDES))), random)[0], True


def _change_xray(pixels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, bool]:
    return (_reduce if random.random() < _REDUCED else _deliver)(pixels, random)


def _change_photograph(pixels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Change some photographs as X-rays are, so that no change is the mark of an X-ray."""
    if random.random() < _GRAINY_PHOTOGRAPHS:
        pixels = add_grain(pixels, random.uniform(*_GRAIN), random)
    if random.random() < _DELIVERED_PHOTOGRAPHS:
        pixels = as_delivered(pixels, int(random.integers(_WAYS)))
    return pixels, False
