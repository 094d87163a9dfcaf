"""Reads an experiment from one TOML file of training/configs, for `training.train`."""

import hashlib
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from training.run.errors import StepRefused

Shape = TypeVar("Shape")
_TAUGHT = ("teachers", "teacher_share")
_PACE = ("checkpoint_every", "validate_every", "threads")


@dataclass(frozen=True)
class Phase:
    """One part of a run: a backbone at an input size for a number of steps.

    The next phase takes over every weight. A deeper backbone starts with its new blocks at identity, so that
    it keeps what the cheap early steps have taught. The blocks and heads learn at `peak_rate`, the backbone's
    last stage at `trunk_rate` times that. A `trunk_rate` of 0 freezes the backbone, while the heads are still
    random.
    """

    backbone: str
    input_size: int
    steps: int
    """With 0 steps the phase only takes the weights over: a deeper backbone then answers the same."""
    warmup_steps: int
    peak_rate: float
    trunk_rate: float
    average: float
    """Momentum of the moving average of the weights, which the next phase takes over; 0 for none. The average
    costs a quarter of a small network's step on a CPU, and matters where the rate is high at the end."""
    window: float = 1.0
    """Share of a radiograph's side that an example shows. Below 1 the phase learns from windows, which are as
    sharp as the whole radiograph is at `input_size / window` pixels and cost a fraction of it."""
    shallower_rate: float = 0.5
    """Rate of each stage of the backbone as a share of the next deeper one's: below 1 where the backbone was
    pre-trained on something else, whose edges and textures serve here as well; 1 where it was not."""
    tones: float = 0.0
    """How far contrast, inversion and noise vary, from 0, not at all, to 1. An untrained network learns more
    slowly with them."""
    wear: float = 0.0
    """How far sharpness, light, markers and JPEG's losses vary, from 0, not at all, to 1."""
    any_angle: float = 0.0
    """Share of the X-rays that are turned by any angle, as phones, scanners and archives deliver them; the
    others are turned by 15 degrees at most."""

    @property
    def resolution(self) -> int:
        """Side in pixels that the whole radiograph has at this phase's sharpness."""
        return round(self.input_size / self.window)


@dataclass(frozen=True)
class Config:
    """All settings that a network depends on: two runs of equal configs see the same images in order."""

    version: str
    seed: int
    begin: str
    """What the network begins with: a bundle's folder, or for the backbone alone `imagenet` or a file of
    `training.pretrain`, or nothing."""
    precision: str
    """Keras's dtype policy: float32, or mixed_bfloat16 where the processor has it."""
    batch_size: int
    positive_share: float
    """Fractured images per batch; the true share comes back with the calibration."""
    label_smoothing: float
    where_weight: float
    """Weight of the localisation loss beside the classification loss."""
    cell_weight: float
    """Weight of a fractured cell beside an intact one; under 1 % of cells are fractured."""
    weight_decay: float
    checkpoint_every: int
    validate_every: int
    threads: int
    phases: tuple[Phase, ...]
    source_shares: dict[str, float] = field(default_factory=dict)
    """Share of each batch by source. A source that is not named shares what is left, by its X-rays."""
    teachers: tuple[str, ...] = ()
    """Folders of bundles and of finished runs whose answers it learns, see `training.batches.teachers`."""
    teacher_share: float = 0.0
    """Share of the teachers' mean answer in each label, from 0 to 1."""

    @property
    def input_size(self) -> int:
        """Side in pixels of the finished network's input: the last phase's."""
        return self.phases[-1].input_size

    @property
    def backbone(self) -> str:
        """The finished network's backbone: the last phase's."""
        return self.phases[-1].backbone

    def fingerprint(self, phase: int) -> str:
        """Name the experiment up to and with a phase, so that a checkpoint of another one is not continued.

        Later phases do not count: they may still be changed, or be added to a finished run. The settings of
        speed and of validation do not count either.
        """
        values = asdict(self) | {"phases": [asdict(one) for one in self.phases[: phase + 1]]}
        left_out = _PACE if self.teachers else (*_PACE, *_TAUGHT)
        return fingerprint_of({key: value for key, value in values.items() if key not in left_out})


def fingerprint_of(values: dict[str, Any]) -> str:
    """Name an experiment by everything that decides what it yields."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def read_config(path: Path) -> Config:
    """Read an experiment; StepRefused as by `read_toml`, or if it has no phase."""
    config = read_toml(path, to_config)
    if not config.phases:
        raise StepRefused(f"{path} has no [[phases]]; a run has at least one")
    return config


def to_config(values: dict[str, Any]) -> Config:
    """Make a config from the values of TOML or JSON.

    TypeError names a missing or unknown key, ValueError what is wrong with the teachers.
    """
    phases = tuple(Phase(**phase) for phase in values.get("phases", ()))
    teachers, share = values.get("teachers", []), values.get("teacher_share", 0.0)
    if not isinstance(teachers, list | tuple):
        raise ValueError(f"teachers is a list of folders, and not {teachers!r}")
    if bool(teachers) != (0 < share <= 1):
        raise ValueError("teacher_share lies above 0, up to 1, where there are teachers; else it is 0")
    return Config(**(values | {"phases": phases, "teachers": tuple(teachers)}))


def read_toml(path: Path, shape: Callable[[dict[str, Any]], Shape]) -> Shape:
    """Read a TOML file through `shape`; StepRefused names what is missing, unknown or malformed."""
    try:
        return shape(tomllib.loads(path.read_text(encoding="utf-8")))
    except KeyError as error:
        raise StepRefused(f"{path} has no {error.args[0]}") from None
    except (TypeError, ValueError) as error:
        raise StepRefused(f"{path}: {error}") from None
