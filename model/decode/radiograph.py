"""Holds a decoded picture. Without a decoder: a worker has its pictures decoded in other processes."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from model.decode.acquisition import Acquisition
from model.exposed_field import ExposedField, find_field


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One decoded picture.

    `pixels` is uint8 (height, width), 0 black (air) to 255 white (bone), upright as a viewer shows it: the
    EXIF orientation is applied, and regions are in these pixels. `chroma` is the mean over the pixels of
    (max - min of red, green, blue) in 0..1, so 0 for a gray source. `format` is JPEG, PNG, TIFF, BMP, WEBP or
    DICOM. `sha256` is the hex digest of the submitted bytes. `acquisition` is what a DICOM header says.
    `left_out` has a sentence for each thing of how a file asks to be displayed that could not be applied.
    `found_field` is the exposed field where it was found before.
    """

    pixels: np.ndarray
    format: str
    chroma: float
    sha256: str
    acquisition: Acquisition = field(default_factory=Acquisition)
    left_out: tuple[str, ...] = ()
    found_field: ExposedField | None = None

    @cached_property
    def exposed_field(self) -> ExposedField:
        """What of the picture was exposed, its tones and its polarity: what the network sees of it."""
        return self.found_field or find_field(self.pixels)

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels.shape[0])
