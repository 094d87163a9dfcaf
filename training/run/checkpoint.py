"""Keeps a run's position on disk, so that `training.train` goes on after a kill at any moment."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.run.atomic_file import whole_file
from training.run.errors import StepRefused

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Position:
    """`step` steps of phase `phase` are done; both count from 0."""

    phase: int
    step: int


def save(path: Path, fingerprint: str, position: Position, model: "keras.Model") -> None:
    """Write weights, optimiser and position at once: after a kill the file is the old one or the new one."""
    arrays = {f"v{i:04d}": np.asarray(variable) for i, variable in enumerate(_variables(model))}
    at = np.array([position.phase, position.step])
    with whole_file(path) as file:
        np.savez(file, fingerprint=np.array(fingerprint), at=at, **arrays)  # type: ignore[arg-type]


def position_of(path: Path, fingerprint: Callable[[int], str]) -> Position | None:
    """Read where the run stands, or None where none was begun; StepRefused if it is another experiment's.

    `fingerprint` names the experiment up to and with the given phase.
    """
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        position = Position(*(int(number) for number in stored["at"]))
        if str(stored["fingerprint"]) != fingerprint(position.phase):
            raise StepRefused(f"{path} belongs to another config or division; choose another folder")
        return position


def restore(path: Path, model: "keras.Model") -> None:
    """Fill a model of the same shape from the file; its optimiser, too, if it was compiled with one."""
    with np.load(path, allow_pickle=False) as stored:
        for i, variable in enumerate(_variables(model)):
            variable.assign(stored[f"v{i:04d}"])


def _variables(model: "keras.Model") -> list["keras.Variable"]:
    # Not `weights`: the state of the dropout's random generator is a variable, too.
    return [*model.variables, *(model.optimizer.variables if model.compiled else [])]
