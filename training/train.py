"""Trains the network on labelled X-rays: `python -m training.train`; `training.export` comes after it.

Killed at any moment, the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from model.network import FRACTURE, WHERE, build
from training.augment import OVERSAMPLING
from training.batches import Batches
from training.checkpoint import Position, position_of, restore, save
from training.config import Config, Phase, read_config
from training.examples import Example, Rows, read_examples, read_labels
from training.growth import transfer
from training.loss import cells_loss
from training.split import split_by_group, write_split

if TYPE_CHECKING:
    import keras

CHECKPOINT = "checkpoint.npz"


def train(config: Config, data: Path, out: Path) -> keras.Model:
    """Train on the training part of `data`, from the last checkpoint in `out` if there is one.

    Writes split.csv, history.jsonl and the checkpoint to `out`; returns the trained model.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = read_labels(data)
    parts = split_by_group(rows, config.seed)
    write_split(out / "split.csv", rows, parts)
    position = position_of(out / CHECKPOINT, config.fingerprint) or Position(0, 0)
    batches = Batches(
        _training_part(config, data, rows, parts), config.batch_size, config.positive_share, config.seed
    )
    model = _compile(config, config.phases[position.phase])
    if (out / CHECKPOINT).exists():
        restore(out / CHECKPOINT, model)
    while True:
        for done in _run_phase(config, position, batches, model, out):
            save(out / CHECKPOINT, config.fingerprint, done, model)
        if position.phase + 1 == len(config.phases):
            return model
        position = Position(position.phase + 1, 0)
        grown = _compile(config, config.phases[position.phase])
        transfer(model, grown)
        model = grown
        save(out / CHECKPOINT, config.fingerprint, position, model)


def _training_part(config: Config, data: Path, rows: Rows, parts: dict[str, str]) -> list[Example]:
    largest = max(phase.input_size for phase in config.phases)
    wanted = [row for row in rows if parts[row["image"]] == "train"]
    return read_examples(
        data, wanted, largest * OVERSAMPLING, lambda rows: tqdm(rows, "reading X-rays", unit="image")
    )


def _compile(config: Config, phase: Phase) -> keras.Model:
    import keras

    keras.utils.set_random_seed(config.seed)
    model = build(phase.input_size, phase.backbone)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, phase.steps - phase.warmup_steps, warmup_target=phase.peak_rate, warmup_steps=phase.warmup_steps
    )
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer=optimizer,
        loss={FRACTURE: "binary_crossentropy", WHERE: cells_loss(config.cell_weight)},
        loss_weights={FRACTURE: 1.0, WHERE: config.where_weight},
        jit_compile=False,
    )
    return model


def _run_phase(
    config: Config, start: Position, batches: Batches, model: keras.Model, out: Path
) -> Iterator[Position]:
    """Run a phase from `start` to its end; yield where a checkpoint is due."""
    phase = config.phases[start.phase]
    before = sum(earlier.steps for earlier in config.phases[: start.phase])
    name = f"{phase.backbone} at {phase.input_size} px"
    bar = tqdm(range(start.step, phase.steps), name, phase.steps, initial=start.step, unit="step")
    for step in bar:
        batch = batches.draw(before + step, phase.input_size)
        logs = model.train_on_batch(batch.x, {FRACTURE: batch.fracture, WHERE: batch.where}, return_dict=True)
        losses = {key: round(float(value), 4) for key, value in logs.items()}
        # Keras averages its logs until told otherwise; each line of the history is its own batch.
        model.reset_metrics()
        bar.set_postfix(losses)
        with (out / "history.jsonl").open("a", encoding="utf-8") as history:
            history.write(json.dumps({"phase": start.phase, "step": step, **losses}) + "\n")
        done = step + 1
        if done % config.checkpoint_every == 0 or done == phase.steps:
            yield Position(start.phase, done)


def limit_threads(threads: int) -> None:
    """Set up TensorFlow for training on a CPU; only possible before its first operation."""
    # Off by default on CPUs without AVX-512, yet it halves the time of the backward pass there (measured).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def arguments(description: str) -> argparse.ArgumentParser:
    """Make the parser of the options that `train` and `export` share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, default=Path("training/configs/first_bundle.toml"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fracatlas"), help="data set folder")
    parser.add_argument("--out", type=Path, default=Path("var/first-bundle"), help="folder of the run")
    return parser


def main() -> None:
    """Run `python -m training.train`."""
    options = arguments("Train the network; run again to go on after a kill.").parse_args()
    config = read_config(options.config)
    limit_threads(config.threads)
    train(config, options.data, options.out)
    print(f"trained; now: python -m training.export --config {options.config}", file=sys.stderr)


if __name__ == "__main__":
    main()
