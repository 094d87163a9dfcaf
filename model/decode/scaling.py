"""Scales gray numbers of any type to 8 bits, and measures colour."""

import numpy as np

_PIECE = 2**16
"""Numbers that are looked up at once: numpy widens them to 8 bytes each, which a cache holds."""


def from_bits(values: np.ndarray) -> np.ndarray:
    """Scale deep grays to uint8 by their bits, so that the same grays in 8, 12 or 16 bits are one picture.

    Values that fill under a quarter of their bits' range are stretched, and so are floats and negative
    numbers.
    """
    darkest, brightest = values.min(), values.max()
    if np.issubdtype(values.dtype, np.integer) and darkest >= 0:
        full = 2 ** max(8, int(brightest).bit_length()) - 1
        if int(brightest) - int(darkest) >= full / 4:
            return _by_table(values, full) if full < 2**16 else _scaled(values, full)
    return stretch(values)


def _by_table(values: np.ndarray, full: int) -> np.ndarray:
    """Scale as `_scaled` does, to the last bit, by a table: floats would take four bytes more a pixel."""
    # numpy multiplies numbers of two bytes or fewer as float32, and larger ones as float64.
    grays = np.arange(full + 1, dtype=np.uint16 if values.dtype.itemsize <= 2 else np.uint32)
    return look_up(_scaled(grays, full), values)


def _scaled(values: np.ndarray, full: int) -> np.ndarray:
    return np.round(values * np.float32(255.0 / full)).astype(np.uint8)


def stretch(values: np.ndarray) -> np.ndarray:
    """Scale any numbers linearly from the min..max found to uint8 0..255; no contrast at all gives zeros.

    NaN and infinity are black, and take no contrast from the rest.
    """
    if np.issubdtype(values.dtype, np.integer) and int(values.max()) - int(values.min()) < 2**16:
        # The same numbers by a table: floats would take eight bytes more a pixel.
        darkest, span = int(values.min()), int(values.max()) - int(values.min())
        levels = np.arange(span + 1, dtype=np.float32) * np.float32(255.0 / max(span, 1))
        return look_up(np.round(levels).astype(np.uint8), above(darkest, values))
    values = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = (
        float(values.min(where=finite, initial=np.inf)),
        float(values.max(where=finite, initial=-np.inf)),
    )
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    grays = np.round((values - low) * (255.0 / (high - low)))
    return np.where(finite, grays, 0).astype(np.uint8)


def look_up(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Map an array of whole numbers by a table. Each of them is a place in the table."""
    found = np.empty(index.shape, table.dtype)
    flat, taken = index.reshape(-1), found.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        piece = slice(start, start + _PIECE)
        np.take(table, flat[piece], out=taken[piece], mode="clip")
    return found


def above(lowest: int, values: np.ndarray) -> np.ndarray:
    """Subtract the lowest of whole numbers, of which none is 65,536 or more above it, as uint16."""
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    # Unsigned numbers wrap, so that a difference fits where the numbers themselves have a sign.
    unsigned = values.view(f"u{values.itemsize}")
    if lowest:
        unsigned = unsigned - unsigned.dtype.type(lowest % 2 ** (8 * values.itemsize))
    return unsigned.astype(np.uint16, copy=False)


def chroma_of(colours: np.ndarray) -> float:
    """Average (max - min) over the pixels of uint8 (height, width, 3), in 0..1."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    brightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    return float((brightest - darkest).mean() / 255.0)
