"""Pre-trains a backbone on gray photographs, without ImageNet weights: `python -m training.pretrain`.

`training.train` begins with the file that it writes. Killed at any moment, the same command goes on.
"""

import argparse
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from model.letterbox import scale_pixels
from model.network import build_trunk
from training.batches.prefetch import draw_ahead
from training.data.photographs import Photographs, hold_out, read_photographs
from training.network.backend import jit_compile, prepare_backend
from training.network.trunk import start_at_identity, write_trunk
from training.run.atomic_file import write_json
from training.run.checkpoint import Position, position_of, restore, save
from training.run.config import fingerprint_of, read_toml
from training.run.curves import HISTORY, append_line
from training.run.errors import exit_with_message

if TYPE_CHECKING:
    import keras

CHECKPOINT, TRUNK, METRICS = "checkpoint.npz", "trunk.npz", "pretrain.json"
_MARGIN = 8
"""Pixels by which a photograph is shifted at most, beside being flipped."""


@dataclass(frozen=True)
class Pretraining:
    """All settings that a pre-trained backbone depends on; one TOML file each."""

    seed: int
    backbone: str
    input_size: int
    batch_size: int
    steps: int
    warmup_steps: int
    peak_rate: float
    weight_decay: float
    label_smoothing: float
    mixup: float
    """Parameter of the Beta distribution that pairs of photographs are mixed by; 0 mixes none."""
    precision: str
    """Keras's dtype policy: float32, or mixed_bfloat16 where the processor has it."""
    checkpoint_every: int
    threads: int

    @property
    def fingerprint(self) -> str:
        """Names the experiment, so that a checkpoint of another one is not continued by mistake."""
        return fingerprint_of(asdict(self))


def pretrain(config: Pretraining, data: Path, out: Path) -> None:
    """Train on the photographs in `data`; write trunk.npz and pretrain.json (accuracy held out) to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    learned, held_out = hold_out(read_photographs(data))
    model = _compile(config, learned.class_count)
    position = position_of(out / CHECKPOINT, lambda _: config.fingerprint) or Position(0, 0)
    if (out / CHECKPOINT).exists():
        restore(out / CHECKPOINT, model)
    batches = draw_ahead(
        lambda step: draw(learned, config, step), range(position.step, config.steps), config.threads
    )
    bar = tqdm(batches, "pre-training", config.steps, initial=position.step, unit="step")
    for step, (x, y) in enumerate(bar, position.step):
        logs = model.train_on_batch(x, y, return_dict=True)
        model.reset_metrics()
        losses = {key: round(float(value), 4) for key, value in logs.items()}
        bar.set_postfix(losses)
        append_line(out / HISTORY, step=step, **losses)
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
            save(out / CHECKPOINT, config.fingerprint, Position(0, step + 1), model)
    write_trunk(out / TRUNK, model)
    metrics = _measure(model, held_out)
    write_json(out / METRICS, {**asdict(config), **metrics})


def draw(photographs: Photographs, config: Pretraining, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the batch of a step from the seed alone: float32 (n, size, size, 1) in [-1, 1], (n, classes).

    Every photograph comes up once a round, shifted, half of the time flipped left to right.
    """
    n, total = config.batch_size, len(photographs.classes)
    random = np.random.default_rng([config.seed, step])
    places = np.arange(step * n, (step + 1) * n)
    chosen = np.array(
        [_order(config.seed, place // total, total)[place % total] for place in places.tolist()]
    )
    size = config.input_size
    margin = ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN))
    padded = np.pad(photographs.pixels[chosen], margin, mode="reflect")
    cut = np.empty((n, size, size), np.uint8)
    room = padded.shape[1] - size + 1
    for i, picture in enumerate(padded):
        top, left = random.integers(0, room, 2)
        piece = picture[top : top + size, left : left + size]
        cut[i] = piece[:, ::-1] if random.random() < 0.5 else piece
    x = scale_pixels(cut)
    y = np.eye(photographs.class_count, dtype=np.float32)[photographs.classes[chosen]]
    if config.mixup:
        share = np.float32(random.beta(config.mixup, config.mixup))
        x, y = share * x + (1 - share) * x[::-1], share * y + (1 - share) * y[::-1]
    return x, y


@lru_cache(maxsize=2)
def _order(seed: int, turn: int, total: int) -> np.ndarray:
    return np.random.default_rng([seed, turn, total]).permutation(total)


def _compile(config: Pretraining, classes: int) -> "keras.Model":
    import keras

    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    trunk = build_trunk(config.input_size, config.backbone)
    start_at_identity(trunk)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(trunk.output)
    answer = keras.layers.Dense(
        classes, activation="softmax", kernel_initializer="zeros", dtype="float32", name="class"
    )(pooled)
    model = keras.Model(trunk.input, answer)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        config.steps - config.warmup_steps,
        warmup_target=config.peak_rate,
        warmup_steps=config.warmup_steps,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        jit_compile=jit_compile(),
    )
    return model


def _measure(model: "keras.Model", held_out: Photographs) -> dict[str, float]:
    answers = model.predict(scale_pixels(held_out.pixels), batch_size=100, verbose=0)
    right = int((answers.argmax(axis=1) == held_out.classes).sum())
    return {"held_out": len(held_out.classes), "held_out_accuracy": right / len(held_out.classes)}


def main() -> None:
    """Run `python -m training.pretrain`."""
    parser = argparse.ArgumentParser(description="Pre-train a backbone; run again to go on after a kill.")
    parser.add_argument("--config", type=Path, default=Path("training/configs/pretrain_tiny_imagenet.toml"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/tiny-imagenet-gray"))
    parser.add_argument("--out", type=Path, default=Path("var/pretrained"), help="folder of the run")
    options = parser.parse_args()
    with exit_with_message("pretrain"):
        config = read_toml(options.config, lambda values: Pretraining(**values))
        prepare_backend(config.threads)
        pretrain(config, options.data, options.out)
    print(f"pre-trained: {options.out / TRUNK}", file=sys.stderr)


if __name__ == "__main__":
    main()
