"""Keeps the scores of a run's network on disk, so that a killed `training.evaluate` goes on."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from model.bundle import (
    GRAPH,
    WEIGHTS,
    Bundle,
    Calibration,
    Description,
    RegionCalibration,
    Thresholds,
)
from model.engines import Engine, choose, start
from model.idle_blocks import without_idle_layers
from model.letterbox import scale_pixels
from model.network import BACKBONES, build
from model.onnx_graph import to_onnx
from model.weights import write_weights
from training.evaluation.localisation import grad_cam
from training.evaluation.scores import Scores, score
from training.network.trained import TRAINED, read_trained
from training.run.atomic_file import whole_file
from training.run.config import Config
from training.run.errors import StepRefused

if TYPE_CHECKING:
    import keras

Squares = Sequence[np.ndarray]
FOLDER = "scores"
_BATCH = 8


class StoredScores:
    """The run's network as the bundle will hold it, in int8, and as it was trained, in float32."""

    def __init__(self, run: Path, config: Config) -> None:
        """Stand for the network in `run`, which is built once it is asked for. StepRefused for a teacher."""
        if config.backbone not in BACKBONES:
            raise StepRefused(
                f"{run} has a teacher, {config.backbone}, which is not served: train a network with it"
            )
        self._run, self._config = run, config
        with (run / TRAINED).open("rb") as file:
            self.fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        self.folder = run / FOLDER / self.fingerprint

    @cached_property
    def exact(self) -> "keras.Model":
        """The network with the weights that training gave it."""
        network = build(self._config.input_size, self._config.backbone)
        read_trained(self._run, network)
        return network

    @cached_property
    def served(self) -> Engine:
        """The network as the bundle will hold it, in the engine that serves on this machine."""
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / WEIGHTS
            write_weights(weights, self.exact)
            (Path(folder) / GRAPH).write_bytes(to_onnx(self.exact))
            names = (self.fingerprint, self.fingerprint)
            bundle = Bundle(Path(folder), _network_alone(self._config), *names, frozenset((WEIGHTS, GRAPH)))
            return start(choose(None, bundle), bundle, lambda _: None)

    def of(self, name: str, squares: Squares) -> Scores:
        """Score squares with the served network; `name` says which squares they are."""
        made = self._kept(name, squares, lambda: run_engine(self.served, squares, name))
        return Scores(made["fracture"], made["where"])

    def exactly_of(self, name: str, squares: Squares) -> Scores:
        """Score squares with the network as it was trained."""
        network = without_idle_layers(self.exact)
        label = f"{name}, float32"
        made = self._kept(f"{name}-float32", squares, lambda: _arrays(score(network, squares, label)))
        return Scores(made["fracture"], made["where"])

    def grad_cam_of(self, name: str, squares: Squares) -> np.ndarray:
        """Make Grad-CAM's heat, float32 (n, h, w)."""
        network = without_idle_layers(self.exact)
        made = self._kept(f"{name}-grad-cam", squares, lambda: {"heat": grad_cam(network, squares)})
        return made["heat"]

    def _kept(
        self, name: str, squares: Squares, make: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        # By content: the same X-rays may come in another order, or from another decoder.
        digest = hashlib.sha256()
        for square in squares:
            digest.update(square.tobytes())
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name.replace(' ', '-')}-{digest.hexdigest()[:16]}.npz"
        if not path.exists():
            made = make()
            with whole_file(path) as file:
                np.savez(file, **made)  # type: ignore[arg-type]
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)


def _network_alone(config: Config) -> Description:
    """Describe a network before anything is fixed on the validation part."""
    return Description(
        name="",
        version=config.version,
        backbone=config.backbone,
        input_size=config.input_size,
        thresholds=Thresholds(low=0, high=1, region=1),
        calibration=Calibration(temperature=1, bias=0),
        region_calibration=RegionCalibration(slope=1, bias=0),
        metrics={},
        data="",
        licence="",
    )


def run_engine(engine: Engine, squares: Squares, label: str) -> dict[str, np.ndarray]:
    """Run an engine over squares: its outputs as `fracture`, `where` and `features`."""
    outputs = [
        engine.run(scale_pixels(np.stack(squares[first : first + _BATCH])))
        for first in tqdm(range(0, len(squares), _BATCH), label, unit="batch")
    ]
    fracture, where, features = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    return {"fracture": fracture, "where": where, "features": features}


def _arrays(scores: Scores) -> dict[str, np.ndarray]:
    return {"fracture": scores.fracture, "where": scores.where}
