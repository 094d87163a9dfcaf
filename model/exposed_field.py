"""Finds the exposed field of a picture, its tones and its polarity, for the second half of the pixel path.

The same X-ray may be dim or bright, a negative, or have the black of a collimator or the white border of a
scan around it: all of these have one exposed field. No TensorFlow.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

_SIDE = 256
"""The field is looked for at this size of the longer side: fine enough for a margin, too coarse for noise."""
_FLAT = 0.06
"""A row or column whose tones span less than this share of the picture's range shows nothing."""
_NARROWEST = 8
_LEAST = 0.1
"""A field smaller than this share of the picture's area is not believed: the whole picture is taken."""
_TONES = (0.5, 99.5)
"""Percentiles of the tones outside of flat areas that become black and white; ink lies beyond them."""


@dataclass(frozen=True)
class ExposedField:
    """A rectangle in a picture's pixels, and the tones in it: `dark` becomes 0 and `bright` 255, 0..255 each.

    `negative` says that bones are dark here: the tones are then turned round.
    """

    left: int
    top: int
    width: int
    height: int
    dark: float
    bright: float
    negative: bool

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Cut the field out of uint8 (height, width)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]

    def levels(self) -> np.ndarray:
        """Make the table, uint8 (256,), that takes the picture's tones to the network's."""
        table = (np.arange(256) - self.dark) / max(self.bright - self.dark, 1.0)
        table = np.clip(1 - table if self.negative else table, 0, 1)
        return np.round(table * 255).astype(np.uint8)


def find_field(pixels: np.ndarray) -> ExposedField:
    """Find the exposed field of uint8 (height, width): the same of a picture and of its negative."""
    small = _reduced(pixels)
    if small.mean() <= 127.5:
        return _field_of(small, pixels.shape)
    # Reducing rounds halves up: of a picture and its negative, the darker one is looked at.
    turned = _field_of(_reduced(255 - pixels), pixels.shape)
    return replace(turned, dark=255 - turned.bright, bright=255 - turned.dark, negative=not turned.negative)


def _reduced(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape
    reduction = max(1.0, max(height, width) / _SIDE)
    # A slope needs two rows and two columns.
    size = max(2, round(width / reduction)), max(2, round(height / reduction))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def _field_of(small: np.ndarray, shape: tuple[int, ...]) -> ExposedField:
    """Find the field in a picture that was reduced to uint8 `small`, in pixels of its `shape`."""
    top, bottom, left, right = _trim(small)
    if (bottom - top) * (right - left) < _LEAST * small.size:
        top, bottom, left, right = 0, small.shape[0], 0, small.shape[1]
    inside = small[top:bottom, left:right]
    dark, bright = _tones(inside)
    y, x = shape[0] / small.shape[0], shape[1] / small.shape[1]
    field = round(left * x), round(top * y), round(right * x), round(bottom * y)
    return ExposedField(
        left=field[0],
        top=field[1],
        width=max(1, field[2] - field[0]),
        height=max(1, field[3] - field[1]),
        dark=dark,
        bright=bright,
        negative=_is_negative(np.clip((inside.astype(np.float32) - dark) / max(bright - dark, 1.0), 0, 1)),
    )


def _trim(small: np.ndarray) -> tuple[int, int, int, int]:
    """Leave out flat rows and columns of uint8 from outside in, until each side shows something."""
    top, bottom, left, right = whole = 0, small.shape[0], 0, small.shape[1]
    while True:
        inside = small[top:bottom, left:right]
        if min(inside.shape) < _NARROWEST:
            return whole
        low, high = _percentiles(inside, (1, 99))
        flat = _FLAT * max(high - low, 1.0)
        y, x = np.flatnonzero(_spans(inside) >= flat), np.flatnonzero(_spans(inside.T) >= flat)
        if not len(y) or not len(x):
            return whole
        trimmed = top + int(y[0]), top + int(y[-1]) + 1, left + int(x[0]), left + int(x[-1]) + 1
        if trimmed == (top, bottom, left, right):
            return trimmed
        top, bottom, left, right = trimmed


def _spans(rows: np.ndarray) -> np.ndarray:
    """Measure from the 3rd to the 97th percentile of each row: a few pixels of dust or ink show nothing."""
    # By radix, which for bytes is three times as fast as numpy's other sorts.
    tones = np.sort(rows, axis=1, kind="stable")
    few = round(0.03 * (tones.shape[1] - 1))
    return tones[:, -1 - few].astype(int) - tones[:, few]


def _tones(inside: np.ndarray) -> tuple[float, float]:
    """Measure the darkest and the brightest tone of uint8 (height, width) outside of flat areas."""
    shown = inside[_slope(inside.astype(np.float32)) > 0.004 * max(float(np.ptp(inside)), 1.0)]
    return _percentiles(inside if shown.size < 0.05 * inside.size else shown, _TONES)


def _percentiles(tones: np.ndarray, shares: tuple[float, float]) -> tuple[float, float]:
    """Compute what np.percentile does of uint8 tones, from their counts: it would sort them."""
    up_to = np.cumsum(np.bincount(tones.ravel(), minlength=256))
    places = np.array(shares) / 100 * (tones.size - 1)
    before = np.floor(places)
    low, high = (np.searchsorted(up_to, ranks, "right") for ranks in (before, np.ceil(places)))
    share = places - before
    # As numpy rounds: from the nearer of both.
    found = np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))
    return float(found[0]), float(found[1])


def _slope(gray: np.ndarray) -> np.ndarray:
    """Measure how much float32 (height, width) changes at each pixel, rounded once, as np.hypot rounds it."""
    down, right = (side.astype(np.float64) for side in np.gradient(gray))
    slope: np.ndarray = np.sqrt(down * down + right * right).astype(np.float32)
    return slope


def _is_negative(gray: np.ndarray) -> bool:
    """Whether bones are dark in 0..1 (height, width), by features that tell tissue from the air around it.

    Every term changes its sign with the polarity, so a picture and its negative are always turned alike. A
    logistic regression gave the weights, on 2,363 training X-rays and crops of them. The result is right for
    99.4 % of 515 other X-rays, and for 98.5 % of crops of these.
    """
    slope = _slope(gray)
    height, width = gray.shape
    y, x = max(1, height // 8), max(1, width // 8)
    rims = np.mean([gray[:y].mean(), gray[-y:].mean(), gray[:, :x].mean(), gray[:, -x:].mean()])
    corners = np.mean([gray[rows, columns].mean() for rows in _ends(y) for columns in _ends(x)])
    middle = gray[height // 4 : height - height // 4, width // 4 : width - width // 4].mean()
    even = np.median(gray[slope <= np.quantile(slope, 0.2)])
    # Air is dark and even, bone bright and full of edges.
    off_mean = gray - gray.mean()
    spread = max(float(gray.std() * slope.std()), 1e-6)
    with_edges = float((off_mean * (slope - slope.mean())).mean()) / spread
    return bool(19 * (corners - 0.5) - 3.5 * (rims - middle) + 5.4 * (even - 0.5) - 0.7 * with_edges > 0)


def _ends(n: int) -> tuple[slice, slice]:
    return slice(None, n), slice(-n, None)
