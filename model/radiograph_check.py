"""Tells X-rays from other pictures: refuses what is certainly none, and doubts what may be none.

It is a logistic regression on the features of the network's own backbone, which costs no time of its own.
`training.fit_check` fits it. No TensorFlow.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from PIL import Image

from model.decode.radiograph import Radiograph
from model.errors import NotARadiograph
from model.network import FEATURE_COUNT

_STEP = 8
"""Of so many rows one is looked at first: most radiographs have far more contrast than they need."""
_ADVICE = "Send one X-ray of a bone, not a photograph of something else."


@dataclass(frozen=True)
class RadiographCheck:
    """The fitted check: coefficients over the network's features, and the limits around them.

    A picture's score is features @ coefficients + intercept, log odds. Below `refused` it is certainly no
    X-ray, below `doubtful` it may be none. `max_chroma` 0..1; `min_contrast` is the least standard deviation
    of the gray levels, 0..255.
    """

    coefficients: tuple[float, ...]
    intercept: float
    refused: float
    doubtful: float
    max_chroma: float
    min_contrast: float

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises ValueError where it was fitted on other features."""
        values: dict[str, Any] = json.loads(text)
        coefficients = tuple(values.pop("coefficients"))
        if len(coefficients) != FEATURE_COUNT:
            raise ValueError(f"the check is on {len(coefficients)} features, the network has {FEATURE_COUNT}")
        return cls(coefficients=coefficients, **values)

    def to_json(self) -> str:
        """Write all numbers as JSON, the coefficients in six digits."""
        rounded = [float(f"{value:.6g}") for value in self.coefficients]
        return json.dumps(asdict(self) | {"coefficients": rounded}, indent=1) + "\n"

    def refuse_unless_gray(self, radiograph: Radiograph) -> None:
        """Raise NotARadiograph for a colour picture and for a blank one, before the network runs."""
        if radiograph.chroma > self.max_chroma:
            raise NotARadiograph(f"The image is in colour, and X-rays are gray. {_ADVICE}")
        if is_blank(radiograph.pixels, self.min_contrast):
            raise NotARadiograph(f"The image is blank: it has next to no contrast. {_ADVICE}")

    def score(self, features: np.ndarray) -> float:
        """Compute how much a picture with these features, float32 (FEATURE_COUNT,), looks like an X-ray."""
        return float(features.astype(np.float64) @ np.array(self.coefficients) + self.intercept)

    def is_doubtful(self, features: np.ndarray) -> bool:
        """Whether this may be no X-ray of a bone. Raises NotARadiograph where it certainly is none."""
        score = self.score(features)
        if score < self.refused:
            raise NotARadiograph(f"The image does not look like an X-ray. {_ADVICE}")
        return score < self.doubtful


def is_blank(pixels: np.ndarray, min_contrast: float) -> bool:
    """Return whether the contrast of uint8 (height, width) is under `min_contrast`."""
    part = pixels[::_STEP]
    # The variance of the whole is no less than that of a part, times the share of the part.
    if contrast(part) * (len(part) / len(pixels)) ** 0.5 >= min_contrast:
        return False
    return contrast(pixels) < min_contrast


def contrast(pixels: np.ndarray) -> float:
    """Compute the standard deviation of uint8 (height, width) by its histogram, to save memory."""
    counts, levels = np.array(Image.fromarray(pixels).histogram()), np.arange(256)
    mean = float(counts @ levels) / pixels.size
    return float(np.sqrt(counts @ (levels - mean) ** 2 / pixels.size))
