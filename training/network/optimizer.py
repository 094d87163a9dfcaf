"""Makes the optimiser of a phase: AdamW with warm-up, cosine decay, and rates that grow with depth."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.network.efficientnet_lite import FIXED
from training.run.config import Config, Phase

if TYPE_CHECKING:
    import keras

_STAGE = re.compile(r"conv([1-5])_")
_LAST_STAGE = 5


def _rate_of(layer_name: str, phase: Phase) -> float:
    """Return the share of the phase's rate that a layer learns at: all of it outside the backbone."""
    if layer_name.startswith(FIXED):
        return 0.0
    if layer_name.startswith("post_"):
        return phase.trunk_rate
    stage = _STAGE.match(layer_name)
    return phase.trunk_rate * phase.shallower_rate ** (_LAST_STAGE - int(stage[1])) if stage else 1.0


def make_optimizer(config: Config, phase: Phase, model: "keras.Model") -> "keras.Optimizer":
    """Freeze what the phase does not train, and build the optimiser of the rest."""
    import keras

    for layer in model.layers:
        layer.trainable = _rate_of(layer.name, phase) > 0
    rate_by_path = {
        variable.path: _rate_of(layer.name, phase)
        for layer in model.layers
        for variable in layer.trainable_variables
    }
    rates = [rate_by_path[variable.path] for variable in model.trainable_variables]
    falling = max(1, phase.steps - phase.warmup_steps)  # none where a phase has no steps, which Keras refuses
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, falling, warmup_target=phase.peak_rate, warmup_steps=phase.warmup_steps
    )
    optimizer = _class()(
        rates,
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=1.0,
        use_ema=phase.average > 0,
        ema_momentum=phase.average or 0.99,
    )
    # A normalisation's scale and an offset say nothing that decay should shrink.
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    optimizer.build(model.trainable_variables)
    return optimizer


def _class() -> Any:
    """AdamW that multiplies the rate of each variable; made on the first call, since it is a Keras class."""
    import keras

    class LayerwiseAdamW(keras.optimizers.AdamW):
        def __init__(self, rates: Sequence[float], *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._rates = rates

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            # TensorFlow hands over its own variable, which has no path: its place is all that is known.
            share = self._rates[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * share)

    return LayerwiseAdamW
