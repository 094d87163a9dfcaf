"""Compiles the network of a phase, and learns from one batch: for `training.train` and `training.select`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from model.network import FRACTURE, WHERE
from training.batches.draw import Batch
from training.network.backend import jit_compile
from training.network.loss import cells_loss
from training.network.optimizer import make_optimizer
from training.network.trunk import build_to_train
from training.run.config import Config, Phase

if TYPE_CHECKING:
    import keras


def compile_phase(config: Config, phase: Phase, blocks: bool = True, locate: bool = True) -> "keras.Model":
    """Build the network of a phase, with its optimiser and losses; a bundle takes only the whole network."""
    import keras

    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    model = build_to_train(phase.input_size, phase.backbone, blocks, locate)
    losses = {FRACTURE: keras.losses.BinaryCrossentropy(label_smoothing=config.label_smoothing)}
    weights = {FRACTURE: 1.0}
    if locate:
        losses[WHERE], weights[WHERE] = cells_loss(config.cell_weight), config.where_weight
    model.compile(
        optimizer=make_optimizer(config, phase, model),
        loss=losses,
        loss_weights=weights,
        metrics={FRACTURE: keras.metrics.MeanMetricWrapper(_accuracy, name="accuracy")},
        jit_compile=jit_compile(),
    )
    _make_metrics(model)
    return model


def _accuracy(truth: Any, predicted: Any) -> Any:
    """Return whether both are on one side of 0.5: a truth may be a teacher's, and lie between 0 and 1."""
    from keras import ops

    return ops.cast(ops.equal(truth > 0.5, predicted > 0.5), "float32")


def _make_metrics(model: "keras.Model") -> None:
    """Make the variables of losses and metrics: made within the first step, TensorFlow traces it twice."""
    nothing = {name: np.zeros((1, *output.shape[1:]), np.float32) for name, output in model.output.items()}
    model.compute_loss(y=nothing, y_pred=nothing)
    model.compute_metrics(None, nothing, nothing)
    model.reset_metrics()


def take_average(model: "keras.Model") -> None:
    """Put the moving average of the weights in their place, if one was kept."""
    from keras import ops

    if model.optimizer.use_ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)
        # JAX lets both share an array, and predicting gives the network's away.
        for variable in model.trainable_variables:
            variable.assign(ops.copy(variable))


def train_step(model: "keras.Model", batch: Batch) -> dict[str, float]:
    """Learn from the batch of one step; return its losses and accuracy."""
    truth = {FRACTURE: batch.fracture, WHERE: batch.where}
    wanted = {name: truth[name] for name in model.output_names}
    logs = model.train_on_batch(batch.x, wanted, return_dict=True)
    # Keras averages its logs until told otherwise; each line of the history is its own batch.
    model.reset_metrics()
    values = {key: round(float(value), 4) for key, value in logs.items()}
    return {
        "loss": values["loss"],
        # Keras names a metric after its output only where there are several.
        "fracture_loss": values.get(f"{FRACTURE}_loss", values["loss"]),
        "accuracy": values.get(f"{FRACTURE}_accuracy", values.get("accuracy", float("nan"))),
        **({"where_loss": values[f"{WHERE}_loss"]} if WHERE in model.output_names else {}),
    }
