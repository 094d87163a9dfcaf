"""Shows stored DICOM values as a viewer does: modality, values of interest, polarity (PS3.3 C.11.1, C.11.2).

No display setting makes a file unreadable: what cannot be applied is left out, and a sentence says so.
pydicom's own functions raise instead, and invert a window over a negative slope.
"""

from math import isfinite
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.sequence import Sequence

from model.decode.scaling import above, look_up, stretch

_MOST_VALUES = 2**16


def mask_to_stored_bits(stored: np.ndarray, header: Dataset, from_bit_0: bool) -> np.ndarray:
    """Take the bits that are pixels out of integers of any shape; others may be an overlay's (PS3.5 8.1.1).

    They begin where the header's High Bit says, unless the samples are known to begin `from_bit_0`.
    """
    allocated = 8 * stored.itemsize
    bits = int(header.get("BitsStored") or allocated)
    high = int(header.get("HighBit") or bits - 1)
    shift = 0 if from_bit_0 else high + 1 - bits
    if not 0 < bits < allocated or not 0 <= shift <= allocated - bits:
        return stored
    if stored.dtype.kind == "u" and not shift and stored.max() < 1 << bits:
        return stored
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    unsigned = stored.view(f"u{stored.itemsize}") >> shift & ((1 << bits) - 1)
    if not header.get("PixelRepresentation"):
        return unsigned
    sign = 1 << (bits - 1)
    signed = (unsigned ^ sign).view(f"i{stored.itemsize}") - sign
    return signed.astype(f"i{stored.itemsize}", copy=False)


def show(stored: np.ndarray, header: Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    """Show integers (height, width) as uint8, black 0, with a sentence for each thing that was left out.

    Padding is black and takes no contrast from the rest.
    """
    display = Display(header)
    levels, index, kept, padding = levels_of(stored, display)
    rescaled = display.rescale(levels)
    shown = display.window(rescaled).shown
    if np.ptp(shown[kept]) == 0 < np.ptp(rescaled[kept]):
        display.leave_out("The window leaves no contrast")
        shown = rescaled
    grays = np.zeros(len(levels), np.uint8)
    grays[kept] = stretch(shown[kept])
    if header.PhotometricInterpretation == "MONOCHROME1":
        grays = 255 - grays
    grays[padding] = 0
    return look_up(grays, index), tuple(display.left_out)


class Levels(NamedTuple):
    """All levels of a picture, each pixel's `place` in `values`, and which are `kept` and which padding.

    The lowest and the highest level that are no padding are kept. Levels between them that no pixel has are
    kept as well where each step is monotone, as they change neither end.
    """

    values: np.ndarray
    place: np.ndarray
    kept: np.ndarray
    padding: np.ndarray


class Voi(NamedTuple):
    """Values of interest: `shown` by level, how (LINEAR, LUT or NONE), and what is just black and white."""

    shown: np.ndarray
    kind: str
    line: tuple[float, float] | None


def levels_of(stored: np.ndarray, display: "Display") -> Levels:
    """List all levels from the lowest to the highest, and give each pixel the index of its own.

    The steps are taken once a level, not once a pixel. Of more than 16 bits the highest 16 count. Where all
    is padding, nothing is.
    """
    values, index = _numbered(stored)
    padding = display.padding(values, stored.dtype)
    if display.is_monotone() and not padding.any():
        # To mark the levels that pixels have takes longer than all of decoding.
        return Levels(values, index, ~padding, padding)
    present = np.zeros(len(values), bool)
    present[index] = True
    if padding[present].all():
        padding[:] = False
    return Levels(values, index, present & ~padding, padding)


def _numbered(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lowest, highest = int(stored.min()), int(stored.max())
    if highest - lowest < _MOST_VALUES:
        return np.arange(lowest, highest + 1, dtype=np.float64), above(lowest, stored)
    step = (highest - lowest) / (_MOST_VALUES - 1)
    index = np.round((stored.astype(np.float64) - lowest) / step).astype(np.int32)
    return lowest + step * np.arange(_MOST_VALUES), index


class Display:
    """What a header asks for, and what of it was left out."""

    def __init__(self, header: Dataset) -> None:
        self.left_out: list[str] = []
        self._header = header

    def leave_out(self, what: str) -> None:
        """Record a sentence about what is left out."""
        sentence = f"{what}: it was left out."
        if sentence not in self.left_out:  # A file may have thousands of tables that cannot be read.
            self.left_out.append(sentence)

    def padding(self, levels: np.ndarray, kind: np.dtype) -> np.ndarray:
        """Mark the levels that are padding (C.7.5.1.1.2): one value, or a range."""
        ends = [
            _as_stored(int(number), self._header, kind)
            for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
            for number in _numbers(self._header, keyword)[:1]
            if number is not None
        ]
        if not ends or "PixelPaddingValue" not in self._header:
            return np.zeros(len(levels), bool)
        return (levels >= min(ends)) & (levels <= max(ends))

    def is_monotone(self) -> bool:
        """Return whether no table is asked for, and the rescale keeps whole numbers whole."""
        if _items(self._header, "ModalityLUTSequence") or _items(self._header, "VOILUTSequence"):
            return False
        return all(number is None or number.is_integer() for number in self._line())

    def rescale(self, levels: np.ndarray) -> np.ndarray:
        """Take stored levels to the modality's values, by its table or by slope and intercept."""
        header = self._header
        for table in _items(header, "ModalityLUTSequence"):
            mapped = self._look_up(table, levels)
            if mapped is not None:
                return mapped
        slope, intercept = self._line()
        if slope == 0:
            self.leave_out("The Rescale Slope is 0")
            return levels
        return levels * (1.0 if slope is None else slope) + (intercept or 0.0)

    def _line(self) -> tuple[float | None, float | None]:
        """Read slope and intercept, None for what is missing or no number."""
        source = frame_group(self._header, "PixelValueTransformationSequence", "RescaleSlope")
        slope, intercept = (
            next(iter(_numbers(source, name)), None) for name in ("RescaleSlope", "RescaleIntercept")
        )
        return slope, intercept

    def window(self, values: np.ndarray) -> Voi:
        """Take the modality's values through the first table or window that can be applied."""
        for table in _items(self._header, "VOILUTSequence"):
            mapped = self._look_up(table, values)
            if mapped is not None:
                return Voi(mapped, "LUT", None)
        source = frame_group(self._header, "FrameVOILUTSequence", "WindowWidth")
        centers, widths = _numbers(source, "WindowCenter"), _numbers(source, "WindowWidth")
        for center, width in zip(centers, widths, strict=False):
            if center is not None and width is not None and width > 0:
                return self._through(center, width, source, values)
        if widths or centers:
            self.leave_out("The window has no width over 0, or no center")
        return Voi(values, "NONE", None)

    def _through(self, center: float, width: float, source: Dataset, values: np.ndarray) -> Voi:
        function = str(source.get("VOILUTFunction") or "LINEAR").strip().upper()
        if function == "SIGMOID":
            line = center - width / 2, center + width / 2
            return Voi(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500))), "LUT", line)
        if function not in ("LINEAR", "LINEAR_EXACT"):
            self.leave_out("The VOI LUT Function is none that DICOM knows")
        # LINEAR is defined for a width of 1 and more, and divides by nothing at 1.
        exact = function == "LINEAR_EXACT" or width <= 1
        middle, reach = (center, width) if exact else (center - 0.5, width - 1)
        line = middle - reach / 2, middle + reach / 2
        return Voi(np.clip((values - middle) / reach + 0.5, 0, 1), "LINEAR", line)

    def _look_up(self, table: Dataset, values: np.ndarray) -> np.ndarray | None:
        """Map values by a table of 8 to 16 bits; None, and a sentence, where it cannot be read."""
        try:
            count, first, bits = (int(number) for number in table.LUTDescriptor)
            entries = _entries(table, count & 0xFFFF or _MOST_VALUES, bits, self._header)
        except (AttributeError, TypeError, ValueError):
            self.leave_out("A look-up table cannot be read")
            return None
        signed = values.min() < 0 or bool(self._header.get("PixelRepresentation"))
        if first >= 0x8000 and signed:
            first -= 0x10000
        elif first < 0 and not signed:
            first += 0x10000
        at = np.clip(np.round(values) - first, 0, len(entries) - 1).astype(np.int64)
        return entries[at].astype(np.float64)


def _entries(table: Dataset, count: int, bits: int, header: Dataset) -> np.ndarray:
    """Read the entries of a table: of 8 bits, packed or in words, or of up to 16 bits (C.11.1.1.1)."""
    data = table.LUTData
    little = header.original_encoding[1] is not False
    if not isinstance(data, bytes):
        data = np.atleast_1d(np.asarray(data, np.int64) & 0xFFFF).astype("<u2").tobytes()
        little = True
    if bits <= 8 and len(data) < 2 * count:
        entries = np.frombuffer(data, np.uint8)
    else:
        entries = np.frombuffer(data[: len(data) & ~1], "<u2")
        entries = entries if little else entries.byteswap()
    if len(entries) < count:
        raise ValueError("the table is shorter than it says")
    return entries[:count]


def _as_stored(number: int, header: Dataset, kind: np.dtype) -> int:
    """Convert a padding value to the sign that pixels are stored with."""
    bits = int(header.get("BitsStored") or 8 * kind.itemsize)
    number &= (1 << bits) - 1
    return number - (1 << bits) if kind.kind == "i" and number >> (bits - 1) else number


def frame_group(header: Dataset, sequence: str, keyword: str) -> Dataset:
    """Return the dataset with an attribute: an item of the object's functional groups, or the header."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for group in _items(header, groups)[:1]:
            for item in _items(group, sequence)[:1]:
                if keyword in item:
                    return item
    return header


def _items(header: Dataset, keyword: str) -> list[Dataset]:
    found = header.get(keyword)
    return list(found) if isinstance(found, Sequence) else []


def _numbers(header: Dataset, keyword: str) -> list[float | None]:
    """Read the values of an attribute as numbers, None for any other; a comma counts as a point."""
    found = header.get(keyword)
    if found is None:
        return []
    given = [found] if isinstance(found, str) or not hasattr(found, "__iter__") else list(found)
    numbers: list[float | None] = []
    for value in given:
        try:
            number = float(str(value).strip().replace(",", "."))
        except ValueError:
            number = float("nan")
        numbers.append(number if isfinite(number) else None)
    return numbers
