"""Stands in for the model: takes some milliseconds and finds nothing."""

import io
import os
import signal
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import ClassVar

import numpy as np
from PIL import Image

from model.decode.image import Radiograph
from model.prediction import Prediction

HARMLESS, DEADLY, HANGING = 64, 65, 66
"""The width in pixels tells the stand-in what this image does to it."""
SECONDS = 0.005
FOLDER = "CHAOS_FOLDER"
"""The variable that names the folder of the trial."""
SHADOW_RAISES = "shadow-raises"


class StandIn:
    """What a worker asks of model.classifier.Classifier."""

    name, version, sha256, digest, engine = "stand-in", "0", "0" * 64, "0" * 64, "none"

    rests_on_enough = True
    served: ClassVar = {"name": name, "version": version}

    @classmethod
    def load(
        cls, folder: Path, engine: str | None, progress: Callable[[str], object], cache: Path | None
    ) -> "StandIn":
        """There is nothing to load but its name."""
        loaded = cls()
        loaded.digest = sha256((folder / "bundle.json").read_bytes()).hexdigest()
        return loaded

    def refuse_unless_gray(self, radiograph: Radiograph) -> None:
        """Accept any picture that decodes."""

    def prepare(self, radiograph: Radiograph) -> int:
        """The width, which tells what to do."""
        return radiograph.width

    def run(self, widths: Sequence[int]) -> list[None]:
        """A while of work."""
        if DEADLY in widths:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANGING in widths:
            Event().wait()
        time.sleep(SECONDS)
        return [None for _ in widths]

    def predict(self, radiographs: Sequence[Radiograph]) -> list[Prediction]:
        """What a shadow asks."""
        self.run([radiograph.width for radiograph in radiographs])
        return [self.explain(radiograph, None) for radiograph in radiographs]

    def explain(self, radiograph: Radiograph, answer: None) -> Prediction:
        """No fracture."""
        return Prediction("no_fracture", 0.01, (), np.zeros((8, 8), np.float32), (0, 0, 1, 1), "stand-in")


class ShadowStandIn(StandIn):
    """The same for a shadow. It raises while there is a file SHADOW_RAISES in the folder of the trial."""

    def predict(self, radiographs: Sequence[Radiograph]) -> list[Prediction]:
        """As told."""
        if (Path(os.environ[FOLDER]) / SHADOW_RAISES).exists():
            raise MemoryError("this bundle is broken")
        return super().predict(radiographs)


def image(width: int = HARMLESS) -> bytes:
    """A PNG that does to the stand-in what its width says."""
    file = io.BytesIO()
    Image.new("L", (width, 64), 90).save(file, "PNG")
    return file.getvalue()
