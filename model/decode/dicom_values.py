"""Takes stored DICOM values to 16 bits after the modality's rescale, and finds their default window."""

import numpy as np
from pydicom import Dataset

from model.decode.dicom_windowing import Display, Voi, levels_of
from model.decode.pixel_values import MOST, PixelValues
from model.decode.scaling import look_up, stretch


def values_of(stored: np.ndarray, header: Dataset) -> PixelValues:
    """Rescale integers (height, width) and fit them into uint16: exactly, unless they have more than 16 bits.

    Padding gets the value that is shown black. The acquisition is left for the caller.
    """
    display = Display(header)
    levels = levels_of(stored, display)
    rescaled = display.rescale(levels.values)
    if not np.isfinite(rescaled).all():
        rescaled = levels.values
    table, offset, step = _fitted(rescaled, levels.kept)
    lowest, highest = int(table[levels.kept].min()), int(table[levels.kept].max())
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    table[levels.padding] = highest if inverted else lowest
    voi = display.window(rescaled)
    shown, before = voi.shown[levels.kept], rescaled[levels.kept]
    if np.ptp(shown) == 0 < np.ptp(before):
        voi = Voi(rescaled, "NONE", None)
    curve, line = None, voi.line
    if voi.kind == "LUT":
        curve = np.zeros(MOST + 1, np.uint8)
        curve[table[levels.kept]] = stretch(shown)
        line = line or _steepest(before, shown)
    stored_bits = int(header.get("BitsStored") or 8 * stored.itemsize)
    bits = max(8, min(16, stored_bits), highest.bit_length())
    window = _window(line, offset, step)
    return PixelValues(
        *(_placed(table, levels.place), bits, lowest, highest, inverted, offset, step),
        window=window,
        voi=voi.kind if window else "NONE",
        curve=curve,
    )


def _placed(table: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Look up each pixel's number; where the levels are numbered one by one, by adding alone."""
    if (np.diff(table) == 1).all():
        return place + table[0] if table[0] else place
    return look_up(table, place).astype(np.uint16, copy=False)


def _fitted(rescaled: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Number the levels so that a rescaled value is its number * step + offset."""
    low, high = float(rescaled[kept].min()), float(rescaled[kept].max())
    whole = bool((rescaled[kept] == np.round(rescaled[kept])).all())
    offset, step = low, 1.0
    if whole and high - low <= MOST:
        offset = 0.0 if low >= 0 and high <= MOST else low
    elif high > low:
        # Only slope and intercept make fractions, so all levels are as far apart as the first two.
        step = abs(float(rescaled[1] - rescaled[0]))
    numbers = np.round((rescaled - offset) / step)
    return np.clip(numbers, 0, MOST).astype(np.uint16), offset, step


def _steepest(values: np.ndarray, shown: np.ndarray) -> tuple[float, float] | None:
    """Return the lowest and the highest value that a table shows neither black nor white."""
    between = values[(shown > shown.min()) & (shown < shown.max())]
    return (float(between.min()), float(between.max())) if len(between) else None


def _window(line: tuple[float, float] | None, offset: float, step: float) -> tuple[float, float] | None:
    """Turn the values that are shown black and white into center and width of numbers."""
    if line is None:
        return None
    black, white = ((value - offset) / step for value in line)
    window = (black + white + 1) / 2, white - black + 1
    return window if np.isfinite(window).all() else None
