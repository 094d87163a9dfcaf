"""Fourth step: `python -m training.train --run RUN --config FILE` trains one experiment.

Killed at any moment, the same command goes on from the last checkpoint. Writes history.jsonl,
validation.jsonl, curves.png, and at the end trained.npz, which `training.evaluate` reads.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score
from tqdm import tqdm

from model.network import BACKBONES, FRACTURE
from training.batches.augment import OVERSAMPLING
from training.batches.draw import Batches
from training.batches.examples import Example, labels_of, read_part, shrink
from training.batches.prefetch import draw_ahead
from training.batches.step import compile_phase, take_average, train_step
from training.batches.teachers import Teachers, describe_teachers, load_teachers
from training.data.ancestry import refuse_overlap, write_ancestry
from training.data.known_xrays import read_known
from training.data.split import TRAIN, division_of
from training.data.split import VALIDATION as VALIDATION_PART
from training.evaluation.scores import score
from training.network.backend import prepare_backend
from training.network.growth import transfer
from training.network.trained import refuse_bundle_of_another_division, write_trained
from training.network.trunk import begin_with, bundle_of, describe_beginning
from training.run.checkpoint import Position, position_of, restore, save
from training.run.config import Config, Phase, read_config
from training.run.curves import HISTORY, VALIDATION, append_line, draw_curves
from training.run.errors import exit_with_message
from training.run.test_part_openings import inherit_openings

if TYPE_CHECKING:
    import keras

CHECKPOINT = "checkpoint.npz"
_WINDOW_BATCHES = 16


def train(config: Config, run: Path) -> None:
    """Train on the run's training part, from the last checkpoint if there is one, to the end."""
    division = division_of(run)

    def experiment(phase: int) -> str:
        return f"{config.fingerprint(phase)} {division}"

    position = position_of(run / CHECKPOINT, experiment)
    if position is None:
        if bundle := bundle_of(config.begin):
            refuse_bundle_of_another_division(bundle, run, division)
            refuse_overlap(run, read_known(bundle.folder))
            inherit_openings(run, division, bundle)
        write_ancestry(run, bundle)
        position = Position(0, 0)
    largest = max(phase.resolution for phase in config.phases)
    batches = Batches(
        read_part(run, TRAIN, largest * OVERSAMPLING),
        config.batch_size,
        config.positive_share,
        config.seed,
        config.source_shares,
    )
    validation = read_part(run, VALIDATION_PART, largest)
    model = compile_phase(config, config.phases[position.phase])
    if (run / CHECKPOINT).exists():
        restore(run / CHECKPOINT, model)
    else:
        begin_with(config.begin, model)
    while True:
        phase = config.phases[position.phase]
        teachers = (
            load_teachers(config, phase.input_size, run, division) if phase.steps else Teachers((), 0.0)
        )
        for done in _run_phase(config, position, batches, teachers, validation, model, run):
            save(run / CHECKPOINT, experiment(done.phase), done, model)
        if position.phase + 1 == len(config.phases):
            break
        position = Position(position.phase + 1, 0)
        grown = compile_phase(config, config.phases[position.phase])
        transfer(model, grown)
        model = grown
        save(run / CHECKPOINT, experiment(position.phase), position, model)
    write_trained(run, config, division, describe_beginning(config.begin) + describe_teachers(config), model)
    draw_curves(run)


def _run_phase(
    config: Config,
    start: Position,
    batches: Batches,
    teachers: Teachers,
    validation: Sequence[Example],
    model: "keras.Model",
    run: Path,
) -> Iterator[Position]:
    """Run a phase from `start` to its end, the averaged weights in place; yield where a checkpoint is due.

    A step is recorded before its checkpoint: a step after which nothing was saved is repeated.
    """
    phase = config.phases[start.phase]
    before = sum(earlier.steps for earlier in config.phases[: start.phase])
    name = f"{phase.backbone} at {phase.input_size} px"
    drawn = draw_ahead(
        lambda step: batches.draw(before + step, phase), range(start.step, phase.steps), config.threads
    )
    bar = tqdm(drawn, name, phase.steps, initial=start.step, unit="step")
    for step, batch in enumerate(bar, start.step):
        values = train_step(model, teachers.soften(batch))
        bar.set_postfix(values)
        append_line(run / HISTORY, at=before + step, phase=start.phase, step=step, **values)
        done = step + 1
        if done == phase.steps:
            take_average(model)
        if done % config.validate_every == 0 or done == phase.steps:
            append_line(run / VALIDATION, at=before + step, **_validate(model, validation, config, phase))
            draw_curves(run)
        if done % config.checkpoint_every == 0 or done == phase.steps:
            yield Position(start.phase, done)


def _validate(
    model: "keras.Model", validation: Sequence[Example], config: Config, phase: Phase
) -> dict[str, float]:
    """Measure on the validation part, or on windows of it, with the weights as they are."""
    if phase.window < 1:
        fixed = Batches(validation, config.batch_size, config.positive_share, config.seed)
        plain = replace(phase, tones=0.0, wear=0.0, any_angle=0.0)
        drawn = [fixed.draw(i, plain) for i in range(_WINDOW_BATCHES)]
        scores = np.concatenate([model.predict_on_batch(batch.x)[FRACTURE][:, 0] for batch in drawn])
        labels = np.concatenate([batch.fracture[:, 0] for batch in drawn]) > 0
    else:
        squares = [shrink(example.square, phase.input_size) for example in validation]
        scores, labels = score(model, squares, "validating").fracture, labels_of(validation)
    # Batches are richer in fractures than the part: an accuracy at 0.5 would count that, too.
    threshold = np.quantile(scores, 1 - labels.mean())
    return {
        "loss": round(float(log_loss(labels, np.clip(scores, 1e-6, 1 - 1e-6))), 4),
        "accuracy": round(float(((scores >= threshold) == labels).mean()), 4),
        "auc": round(float(roc_auc_score(labels, scores)), 4),
    }


def main() -> None:
    """Run `python -m training.train`."""
    parser = argparse.ArgumentParser(description="Train the network; run again to go on after a kill.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--config", type=Path, required=True, help="the experiment, a file in training/configs"
    )
    options = parser.parse_args()
    with exit_with_message("train"):
        config = read_config(options.config)
        prepare_backend(config.threads)
        train(config, options.run)
    served = config.backbone in BACKBONES
    evaluate = f"now: python -m training.evaluate --run {options.run}"
    then = evaluate if served else "a config may name this run in `teachers`"
    print(f"trained; {then}", file=sys.stderr)


if __name__ == "__main__":
    main()
