"""Mixes the answers of teachers into the labels of a batch: distillation.

A teacher is a bundle, or another run of the same division, such as one of an EfficientNet-Lite from ImageNet.
It sees the same varied X-rays as the network that learns.

Hinton et al., "Distilling the Knowledge in a Neural Network" (2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.bundle import WEIGHTS
from model.idle_blocks import without_idle_layers
from model.network import FRACTURE, WHERE
from model.weights import read_weights
from training.batches.draw import Batch
from training.data.ancestry import read_ancestry
from training.network.trained import (
    beginning_of,
    config_of,
    read_trained,
    refuse_another_division,
)
from training.network.trunk import build_to_train, bundle_of
from training.run.config import Config
from training.run.errors import StepRefused

if TYPE_CHECKING:
    import keras

_EDGE = 1e-4
"""Probabilities count up to this distance from 0 and 1: a teacher that is sure is not infinitely so."""


@dataclass(frozen=True, eq=False)
class Teachers:
    """Networks whose mean answer makes up `share` of each label; the known label makes up the rest."""

    networks: Sequence["keras.Model"]
    share: float

    def soften(self, batch: Batch) -> Batch:
        """Mix the mean of the teachers' logits into the labels. Unknown cells have that mean alone."""
        if not self.networks:
            return batch
        answers = [network.predict_on_batch(batch.x) for network in self.networks]
        fracture, where = (_mean([one[name] for one in answers]) for name in (FRACTURE, WHERE))
        known = batch.where >= 0
        mixed = self.share * where + (1 - self.share) * batch.where
        return replace(
            batch,
            fracture=self.share * fracture + (1 - self.share) * batch.fracture,
            where=np.where(known, mixed, where).astype(np.float32),
        )


def _mean(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Return the probability of the mean logit, float32, of arrays of one shape."""
    clipped = np.clip(np.stack([np.asarray(one, np.float32) for one in probabilities]), _EDGE, 1 - _EDGE)
    logits = np.log(clipped / (1 - clipped)).mean(axis=0)
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def load_teachers(config: Config, input_size: int, run: Path, division: str) -> Teachers:
    """Load the teachers of a config for inputs of this size.

    StepRefused for one of another division, or that goes back to a bundle to which the run does not: what
    that knows, and how often its test part was opened, would be forgotten.
    """
    import keras

    networks, own = [], {ancestor["sha256"] for ancestor in read_ancestry(run)}
    for source in config.teachers:
        keras.config.set_dtype_policy(config.precision)
        if bundle := bundle_of(source):
            _refuse_foreign(source, {bundle.sha256}, own)
            network = build_to_train(input_size, bundle.description.backbone)
            read_weights(bundle.folder / WEIGHTS, network)
            networks.append(without_idle_layers(network))
        else:
            refuse_another_division(Path(source), division)
            _refuse_foreign(source, {ancestor["sha256"] for ancestor in read_ancestry(Path(source))}, own)
            learned = config_of(Path(source))
            keras.config.set_dtype_policy(learned.precision)
            network = build_to_train(input_size, learned.backbone)
            read_trained(Path(source), network)
            networks.append(network)
    keras.config.set_dtype_policy(config.precision)
    return Teachers(networks, config.teacher_share)


def _refuse_foreign(source: str, bundles: set[str], own: set[str]) -> None:
    if bundles - own:
        raise StepRefused(
            f"the teacher {source} is a bundle, or goes back to one, that this run does not begin with:"
            " name that in `begin`"
        )


def describe_teachers(config: Config) -> str:
    """Describe the teachers for the card, as a clause that follows the network's own beginning."""
    if not config.teachers:
        return ""
    named = " and ".join(map(_describe, config.teachers))
    return f"; taught by {named}, whose mean answer is {config.teacher_share:.0%} of each label"


def _describe(source: str) -> str:
    if bundle := bundle_of(source):
        return f"{bundle.description.name} {bundle.description.version}"
    config = config_of(Path(source))
    return f"{config.backbone} at {config.input_size} pixels, which began with {beginning_of(Path(source))}"
