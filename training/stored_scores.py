"""Scores of a run's network, kept on disk as they are made, so that a killed `training.evaluate` goes on."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.network import build
from model.weights import read_weights, write_weights
from training.config import Config
from training.localisation import grad_cam
from training.scores import Scores, score
from training.trained import TRAINED, read_trained
from training.whole_file import whole_file

if TYPE_CHECKING:
    import keras

Squares = Sequence[np.ndarray]
FOLDER = "scores"


class StoredScores:
    """The run's network as the bundle will hold it, in int8, and as it was trained, in float32."""

    def __init__(self, run: Path, config: Config) -> None:
        """Stand for the network in `run`; nothing is built before it is asked for."""
        self._run, self._config = run, config
        with (run / TRAINED).open("rb") as file:
            self.fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]

    @cached_property
    def exact(self) -> keras.Model:
        """The network with the weights that training gave it."""
        network = build(self._config.input_size, self._config.backbone)
        read_trained(self._run, network)
        return network

    @cached_property
    def rounded(self) -> keras.Model:
        """The network with the weights as the bundle stores them: what is served, and measured."""
        network = build(self._config.input_size, self._config.backbone)
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "weights.npz"
            write_weights(weights, self.exact)
            read_weights(weights, network)
        return network

    def of(self, name: str, squares: Squares) -> Scores:
        """Score squares with the rounded network; `name` says which squares they are."""
        made = self._kept(name, lambda: _arrays(score(self.rounded, squares, name)))
        return Scores(made["fracture"], made["where"])

    def exactly_of(self, name: str, squares: Squares) -> Scores:
        """Score squares with the network as it was trained."""
        made = self._kept(f"{name}-float32", lambda: _arrays(score(self.exact, squares, f"{name}, float32")))
        return Scores(made["fracture"], made["where"])

    def grad_cam_of(self, name: str, squares: Squares) -> np.ndarray:
        """Make Grad-CAM's heat, float32 (n, h, w)."""
        return self._kept(f"{name}-grad-cam", lambda: {"heat": grad_cam(self.rounded, squares)})["heat"]

    def _kept(self, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        folder = self._run / FOLDER / self.fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.replace(' ', '-')}.npz"
        if not path.exists():
            made = make()
            with whole_file(path) as file:
                np.savez(file, **made)  # type: ignore[arg-type]
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)


def _arrays(scores: Scores) -> dict[str, np.ndarray]:
    return {"fracture": scores.fracture, "where": scores.where}
