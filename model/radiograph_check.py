"""Tells X-rays from other pictures before the network is asked, which would answer on anything.

A logistic regression on cheap features of the gray levels; `training.fit_check` fits it. No TensorFlow.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from model.errors import NotARadiograph
from model.image import Radiograph

_SIDE = 32
"""Pictures are compared at this size, where what a camera or a resize did to fine detail is gone."""

_ADVICE = "Send one X-ray of a bone, not a photograph of something else."


@dataclass(frozen=True)
class RadiographCheck:
    """The fitted check: coefficients over standardised features, and the limits around them.

    `max_chroma` 0..1; `min_contrast` is the least standard deviation of the gray levels, 0..255; a picture
    passes if its score, sum((features - mean) / scale * coefficients) + intercept, is at least `threshold`.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    threshold: float
    max_chroma: float
    min_contrast: float

    @classmethod
    def from_json(cls, text: str) -> RadiographCheck:
        """Read what `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        listed = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return cls(**(values | listed))

    def to_json(self) -> str:
        """Write all numbers as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def score(self, pixels: np.ndarray) -> float:
        """How much uint8 (height, width) looks like an X-ray: log odds."""
        standard = (features(pixels) - np.array(self.mean)) / np.array(self.scale)
        return float(standard @ np.array(self.coefficients) + self.intercept)

    def refuse_unless_radiograph(self, radiograph: Radiograph) -> None:
        """Raise NotARadiograph for a colour picture, a blank one, or one that looks otherwise."""
        if radiograph.chroma > self.max_chroma:
            raise NotARadiograph(f"The image is in colour, and X-rays are gray. {_ADVICE}")
        if contrast(radiograph.pixels) < self.min_contrast:
            raise NotARadiograph(f"The image is blank: it has next to no contrast. {_ADVICE}")
        if self.score(radiograph.pixels) < self.threshold:
            raise NotARadiograph(f"The image does not look like an X-ray. {_ADVICE}")


def contrast(pixels: np.ndarray) -> float:
    """The standard deviation of uint8 (height, width), by its histogram: no float is made of every pixel."""
    counts, levels = np.array(Image.fromarray(pixels).histogram()), np.arange(256)
    mean = float(counts @ levels) / pixels.size
    return float(np.sqrt(counts @ (levels - mean) ** 2 / pixels.size))


def features(pixels: np.ndarray) -> np.ndarray:
    """Describe uint8 (height, width) by a float64 vector: gray levels, edges, borders, coarse layout.

    The picture is squeezed to a square, not letter-boxed: black bars would make any tall photograph look
    like an X-ray on its dark ground.
    """
    small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    gray = np.asarray(small, np.float64) / 255.0
    low, high = np.percentile(gray, [1, 99])
    gray = np.clip((gray - low) / max(high - low, 1e-3), 0, 1)
    down, right = np.gradient(gray)
    edges = np.hypot(down, right)
    blocks = gray.reshape(8, 4, 8, 4)
    texture = blocks.std(axis=(1, 3))
    rims = [gray[:2].ravel(), gray[-2:].ravel(), gray[:, :2].ravel(), gray[:, -2:].ravel()]
    corners = [c.mean() for c in (gray[:4, :4], gray[:4, -4:], gray[-4:, :4], gray[-4:, -4:])]
    spectrum = np.log1p(np.abs(np.fft.rfft2(gray - gray.mean())))
    rows, columns = np.meshgrid(np.fft.fftfreq(_SIDE) * _SIDE, np.arange(_SIDE // 2 + 1), indexing="ij")
    radius = np.hypot(rows, columns)
    bands = [spectrum[(radius >= r) & (radius < r * 1.5)].mean() for r in (1, 1.5, 2.25, 3.4, 5, 7.5, 11)]
    return np.concatenate(
        [
            np.sqrt(np.histogram(gray, 16, (0, 1))[0] / gray.size),
            np.sqrt(np.histogram(edges, 8, (0, 0.4))[0] / gray.size),
            np.sqrt(np.histogram(texture, 6, (0, 0.3))[0] / texture.size),
            [rim.mean() for rim in rims],
            [rim.std() for rim in rims],
            sorted(corners),
            [min(rim.mean() for rim in rims), max(rim.mean() for rim in rims)],
            [gray.mean(), gray.std(), gray[8:24, 8:24].mean(), gray[8:24, 8:24].std()],
            [np.abs(gray - gray[:, ::-1]).mean(), np.abs(gray - gray[::-1]).mean()],
            # An edge in a projection is dark on the outside: bright pixels gather away from the dark ground.
            [np.corrcoef(gray.ravel(), edges.ravel())[0, 1] if gray.std() > 0 and edges.std() > 0 else 0.0],
            bands,
        ]
    )
