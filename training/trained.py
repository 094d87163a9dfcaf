"""A finished run's network as a file, float32: between `training.train` and `training.evaluate`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.config import Config, Phase

if TYPE_CHECKING:
    import keras

TRAINED = "trained.npz"
_CONFIG = "config"


def write_trained(run: Path, config: Config, model: keras.Model) -> None:
    """Write the weights under their paths, and the experiment that made them; whole or not at all."""
    arrays = {variable.path: np.asarray(variable, dtype="<f4") for variable in model.weights}
    new = run / f"{TRAINED}.new"
    with new.open("wb") as file:
        np.savez(file, **{_CONFIG: np.array(json.dumps(asdict(config)))}, **arrays)  # type: ignore[arg-type]
    os.replace(new, run / TRAINED)


def config_of(run: Path) -> Config:
    """Read which experiment the run's network comes from; FileNotFoundError says which step makes it."""
    if not (run / TRAINED).exists():
        raise FileNotFoundError(
            f"{run / TRAINED} is missing; run python -m training.train --run {run} to its end"
        )
    with np.load(run / TRAINED, allow_pickle=False) as stored:
        values = json.loads(str(stored[_CONFIG]))
    return Config(**(values | {"phases": tuple(Phase(**phase) for phase in values["phases"])}))


def read_trained(run: Path, model: keras.Model) -> None:
    """Fill a network of the run's own shape."""
    with np.load(run / TRAINED, allow_pickle=False) as stored:
        for variable in model.weights:
            variable.assign(stored[variable.path])
