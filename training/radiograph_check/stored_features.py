"""Keeps what a network sees of pictures on disk, so that a killed `training.fit_check` goes on."""

import hashlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.engines import Engine
from model.letterbox import scale_pixels
from training.run.atomic_file import whole_file

_BATCH = 8


class StoredFeatures:
    """The features that one network makes, one file a batch, named by the digest of its pixels."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Keep what `engine` makes in `folder`, which is this network's alone."""
        self._engine, self._folder = engine, folder
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, name: str, squares: np.ndarray) -> np.ndarray:
        """Make the features, float32 (n, FEATURE_COUNT), of uint8 (n, size, size); `name` is for the eye."""
        batches = range(0, len(squares), _BATCH)
        made = [self._of_batch(squares[i : i + _BATCH]) for i in tqdm(batches, name, unit="batch")]
        return np.concatenate(made)

    def _of_batch(self, squares: np.ndarray) -> np.ndarray:
        path = self._folder / f"{hashlib.sha256(squares.tobytes()).hexdigest()}.npy"
        if not path.exists():
            _, _, features = self._engine.run(scale_pixels(squares))
            with whole_file(path) as file:
                np.save(file, features)
        stored: np.ndarray = np.load(path, allow_pickle=False)
        return stored
