"""Finds X-rays that are the same picture, also turned by any angle, flipped, brightened or compressed again.

`training.collect` and `training.prepare` use it. Radiographs of two patients may have a coarse likeness, so
that only proposes pairs, and the fine structure of the bone decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

NEAR = 0.15
"""Distance up to which two images are one picture. On FracAtlas nothing lies between 0.03 and 0.19: below are
copies, above are other exposures. A copy turned by any angle, flipped, brightened and compressed again stayed
below 0.12 in 200 tries."""

_SIDE, _RINGS, _SPOKES, _BLUR = 128, 48, 256, 3
_WAVES, _ALIKE = 24, 0.97
"""Copies have a coarse likeness of over 0.99."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """`coarse` float32 (m,) is the same for any turn and for the mirror image, of length 1; `fine` float32
    (rings, spokes) is the picture's fine structure around its middle, of length 1."""

    coarse: np.ndarray
    fine: np.ndarray


def fingerprint(pixels: np.ndarray) -> Fingerprint:
    """Take the fingerprint of uint8 (height, width): of the largest disc around its middle."""
    height, width = pixels.shape
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    square = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX, box=box)
    values = np.asarray(square, np.float32)
    smooth = np.asarray(square.filter(ImageFilter.GaussianBlur(_BLUR)), np.float32)
    waves = np.abs(np.fft.rfft(_around(smooth), axis=1))[:, :_WAVES].astype(np.float32)
    return Fingerprint(_unit(waves.ravel()), _around(np.clip(values - smooth, -30, 30)))


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """1 - the best correlation over all turns and the mirror image: 0 for one picture, about 1 for others."""
    a, b = np.fft.rfft(one.fine, axis=1), np.fft.rfft(other.fine, axis=1)
    turned = np.fft.irfft((a * b.conj()).sum(axis=0), _SPOKES).max()
    flipped = np.fft.irfft((a * b).sum(axis=0), _SPOKES).max()
    return float(1 - max(turned, flipped))


def find_near_duplicates(fingerprints: Sequence[Fingerprint]) -> list[tuple[int, int, float]]:
    """List the pairs (i, j, distance) with i < j that are one picture."""
    if not fingerprints:
        return []
    coarse = np.stack([one.coarse for one in fingerprints])
    pairs = []
    for i in range(len(coarse) - 1):
        for j in (np.flatnonzero(coarse[i + 1 :] @ coarse[i] > _ALIKE) + i + 1).tolist():
            apart = distance(fingerprints[i], fingerprints[j])
            if apart <= NEAR:
                pairs.append((i, j, apart))
    return pairs


def _around(square: np.ndarray) -> np.ndarray:
    """Read float32 (side, side) along circles: (rings, spokes), mean 0, length 1, pixels counting alike."""
    angle = np.arange(_SPOKES) * (2 * np.pi / _SPOKES)
    radius = ((np.arange(_RINGS) + 0.5) / _RINGS)[:, None]
    reach = (_SIDE - 1) / 2
    x, y = reach + 0.97 * reach * radius * np.cos(angle), reach + 0.97 * reach * radius * np.sin(angle)
    left, top = x.astype(int), y.astype(int)
    dx, dy = x - left, y - top
    ring = (
        square[top, left] * (1 - dx) * (1 - dy)
        + square[top, left + 1] * dx * (1 - dy)
        + square[top + 1, left] * (1 - dx) * dy
        + square[top + 1, left + 1] * dx * dy
    )
    mean = (ring * radius).sum() / (radius.sum() * _SPOKES)
    return _unit((ring - mean) * np.sqrt(radius))


def _unit(values: np.ndarray) -> np.ndarray:
    return (values / max(float(np.linalg.norm(values)), 1e-6)).astype(np.float32)
