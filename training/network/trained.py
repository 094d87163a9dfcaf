"""Stores a finished run's network in float32: `training.train` writes it, `training.evaluate` reads it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.bundle import Bundle
from training.data.manifest import read_manifest
from training.run.atomic_file import whole_file
from training.run.config import Config, to_config
from training.run.errors import StepRefused
from training.run.test_part_openings import division_learned_by

if TYPE_CHECKING:
    import keras

TRAINED = "trained.npz"
_CONFIG, _DIVISION, _BEGAN_WITH = "config", "division", "began_with"


class AnotherDivision(StepRefused):
    """The network has learned from another division than the run has now; says what to do."""


def write_trained(run: Path, config: Config, division: str, began_with: str, model: "keras.Model") -> None:
    """Write the weights under their paths, with the experiment and the division that made them.

    `began_with` tells a reader of the card what they began with.
    """
    arrays = {variable.path: np.asarray(variable, dtype="<f4") for variable in model.weights}
    origin = {
        _CONFIG: np.array(json.dumps(asdict(config))),
        _DIVISION: np.array(division),
        _BEGAN_WITH: np.array(began_with),
    }
    with whole_file(run / TRAINED) as file:
        np.savez(file, **origin, **arrays)  # type: ignore[arg-type]


def config_of(run: Path) -> Config:
    """Read which experiment the run's network comes from; FileNotFoundError says which step makes it."""
    if not (run / TRAINED).exists():
        raise FileNotFoundError(
            f"{run / TRAINED} is missing; run python -m training.train --run {run} to its end"
        )
    with np.load(run / TRAINED, allow_pickle=False) as stored:
        return to_config(json.loads(str(stored[_CONFIG])))


def beginning_of(run: Path) -> str:
    """Read what the run's network began with, for its card."""
    with np.load(run / TRAINED, allow_pickle=False) as stored:
        return str(stored[_BEGAN_WITH])


def refuse_another_division(run: Path, division: str) -> None:
    """Raise AnotherDivision unless the network has learned from this one: it may know today's test part."""
    with np.load(run / TRAINED, allow_pickle=False) as stored:
        if str(stored[_DIVISION]) != division:
            raise AnotherDivision(
                f"{run / TRAINED} has learned from another division than {run} has now, and may know its "
                f"test part. Divide as before, or move {TRAINED} and the checkpoint away and train again."
            )


def refuse_bundle_of_another_division(bundle: Bundle, run: Path, division: str) -> None:
    """Raise AnotherDivision if a bundle to begin with knows the run's sources, divided in another way."""
    own = {entry.source.lower() for entry in read_manifest(run)}
    shared = own & set(bundle.description.data.lower().split(", "))
    if shared and division_learned_by(bundle) != division:
        raise AnotherDivision(
            f"{bundle.folder} has learned from {', '.join(sorted(shared))} in another division than {run} "
            "has, and may know its test part. Divide as it was divided, or begin with something else."
        )


def read_trained(run: Path, model: "keras.Model") -> None:
    """Fill a network of the run's own shape."""
    with np.load(run / TRAINED, allow_pickle=False) as stored:
        for variable in model.weights:
            variable.assign(stored[variable.path])
