"""Defines the 16-bit values of a picture, before any window: a viewer windows them itself."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from model.decode.acquisition import Acquisition
from model.decode.scaling import look_up

MOST = 2**16 - 1
"""The highest value."""


@dataclass(frozen=True, eq=False)
class PixelValues:
    """One decoded picture, before its window and its polarity.

    `pixels` is uint16 (height, width), turned as Radiograph's are. The source's value, after a DICOM header's
    rescale, is `pixels * step + offset`. `lowest` and `highest` are of the pixels that are no padding. The
    lowest value is white where they are `inverted` (MONOCHROME1), else black. `window` has the center
    and the width of DICOM's linear function, in values of `pixels`; `voi` is LINEAR, LUT (what the header
    asks for is a curve, and `window` the straight line near it) or NONE. `curve` is that curve, uint8 by
    value.
    """

    pixels: np.ndarray
    bits: int
    lowest: int
    highest: int
    inverted: bool = False
    offset: float = 0.0
    step: float = 1.0
    window: tuple[float, float] | None = None
    voi: str = "NONE"
    curve: np.ndarray | None = None
    acquisition: Acquisition = field(default_factory=Acquisition)

    def facts(self) -> dict[str, Any]:
        """Describe the pixels, for JSON."""
        rows, columns = self.pixels.shape
        scale = {"offset": self.offset} if self.offset else {}
        if self.step != 1:
            scale["step"] = self.step
        return {
            "rows": rows,
            "columns": columns,
            "bits": self.bits,
            "min": self.lowest,
            "max": self.highest,
            "photometric": f"MONOCHROME{1 if self.inverted else 2}",
            "window": list(self.window) if self.window else None,
            "voi": self.voi,
            **scale,
        }

    def shown(self) -> np.ndarray:
        """Show the pixels through the default window, uint8 (height, width), black 0.

        Without a window 8 bits are shown as they are, and more from the lowest to the highest value.
        """
        curve = self.curve
        if curve is None:
            low, high = (0, 255) if self.bits == 8 else (self.lowest, self.highest)
            center, width = self.window or ((low + high + 1) / 2, high - low + 1)
            grays = (np.arange(MOST + 1) - (center - 0.5)) / max(width - 1, 1e-3) + 0.5
            curve = np.round(255 * np.clip(grays, 0, 1)).astype(np.uint8)
        return look_up(255 - curve if self.inverted else curve, self.pixels)


def values_of_grays(values: np.ndarray, bits: int, inverted: bool = False) -> PixelValues:
    """Make the values of gray numbers (height, width) of any type.

    Whole numbers stay as they are, or are shifted where one is negative. Others are scaled from their lowest
    and highest to 16 bits; NaN and infinity get the lowest.
    """
    if np.issubdtype(values.dtype, np.integer):
        low, high = int(values.min()), int(values.max())
        if high - low <= MOST:
            offset = 0 if low >= 0 and high <= MOST else low
            pixels = (values.astype(np.int64) - offset if offset else values).astype(np.uint16)
            return PixelValues(pixels, bits, low - offset, high - offset, inverted, offset)
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    lowest = float(numbers.min(where=finite, initial=np.inf)) if finite.any() else 0.0
    highest = float(numbers.max(where=finite, initial=-np.inf)) if finite.any() else 0.0
    step = (highest - lowest) / MOST
    if not (np.isfinite(step) and step > 0):
        return replace(PixelValues(np.zeros(values.shape, np.uint16), bits, 0, 0, inverted), offset=lowest)
    scaled = np.where(finite, np.round((np.where(finite, numbers, lowest) - lowest) / step), 0)
    return PixelValues(scaled.astype(np.uint16), bits, 0, MOST, inverted, lowest, step)
