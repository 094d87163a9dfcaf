"""Third step: `python -m training.select --run RUN --config FILE` compares architectures under one budget.

Every candidate trains for the same time from the same seed, and is measured on the validation part. Writes
selection.json after each, so that a killed run goes on with the next, and draws selection.png.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from training.batches.augment import OVERSAMPLING
from training.batches.draw import Batches
from training.batches.examples import Example, groups_of, labels_of, read_part
from training.batches.step import compile_phase, take_average, train_step
from training.data.split import TRAIN, VALIDATION, division_of
from training.evaluation.intervals import auc_bounds, with_interval
from training.evaluation.measures import auc
from training.evaluation.scores import score
from training.evaluation.selection_plot import draw_selection
from training.network.backend import prepare_backend
from training.network.trained import refuse_bundle_of_another_division
from training.network.trunk import begin_with, bundle_of
from training.run.atomic_file import write_json
from training.run.config import Config, Phase, read_toml
from training.run.errors import StepRefused, exit_with_message

if TYPE_CHECKING:
    import keras

SELECTION = "selection.json"
_NEVER, _WARMUP, _AVERAGE = 1_000_000, 20, 0.9


@dataclass(frozen=True)
class Candidate:
    """One architecture to compare."""

    name: str
    backbone: str
    input_size: int
    blocks: bool
    locate: bool


@dataclass(frozen=True)
class Comparison:
    """What is compared, and under which budget; one TOML file each."""

    seconds: float
    """Time that each candidate trains, its compilation not counted."""
    peak_rate: float
    common: Config
    candidates: tuple[Candidate, ...]


def read_comparison(path: Path) -> Comparison:
    """Read a comparison; StepRefused as by `read_toml`, or if a candidate cannot begin as all do."""

    def shape(values: dict[str, Any]) -> Comparison:
        return Comparison(
            seconds=float(values["seconds"]),
            peak_rate=float(values["peak_rate"]),
            common=Config(version="", checkpoint_every=0, validate_every=0, phases=(), **values["common"]),
            candidates=tuple(Candidate(**candidate) for candidate in values["candidates"]),
        )

    comparison = read_toml(path, shape)
    if bundle_of(comparison.common.begin):
        for candidate in comparison.candidates:
            if not (candidate.blocks and candidate.locate):
                raise StepRefused(
                    f"{path}: {candidate.name!r} leaves out blocks or localisation, and cannot begin with "
                    f"{comparison.common.begin}, which has both; begin with a file of training.pretrain"
                )
    return comparison


def select(comparison: Comparison, run: Path) -> list[dict[str, Any]]:
    """Train and measure each candidate that is not measured yet; return all, best first.

    AnotherDivision if the bundle that they begin with may know the validation part.
    """
    division = division_of(run)
    if bundle := bundle_of(comparison.common.begin):
        refuse_bundle_of_another_division(bundle, run, division)
    # As JSON has it, which knows no tuples.
    common = asdict(replace(comparison, candidates=())) | {"division": division}
    budget = json.loads(json.dumps(common))
    done = _read(run / SELECTION, budget)
    for candidate in comparison.candidates:
        if any(asdict(candidate).items() <= one.items() for one in done):
            continue
        done = [one for one in done if one["name"] != candidate.name]
        done.append(asdict(candidate) | _measure(comparison, candidate, run))
        done.sort(key=lambda one: -one["auc"]["value"])
        values = {"budget": budget, "part": VALIDATION, "candidates": done}
        write_json(run / SELECTION, values)
        draw_selection(run, done, comparison.seconds)
    return done


def _read(path: Path, budget: dict[str, Any]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["budget"] != budget:
        raise StepRefused(f"{path} compares under another budget or division; move it away first")
    return list(values["candidates"])


def _measure(comparison: Comparison, candidate: Candidate, run: Path) -> dict[str, Any]:
    config = comparison.common
    size = candidate.input_size
    batches = Batches(
        read_part(run, TRAIN, size * OVERSAMPLING), config.batch_size, config.positive_share, config.seed
    )
    # How many steps the time is good for shows only then: the rate does not fall, the weights are averaged.
    phase = Phase(candidate.backbone, size, _NEVER, _WARMUP, comparison.peak_rate, 1.0, _AVERAGE)
    model = compile_phase(config, phase, candidate.blocks, candidate.locate)
    begin_with(config.begin, model)
    # The first step compiles.
    train_step(model, batches.draw(0, phase))
    start, steps = time.perf_counter(), 1
    with tqdm(desc=candidate.name, unit="step") as bar:
        while time.perf_counter() - start < comparison.seconds:
            train_step(model, batches.draw(steps, phase))
            steps += 1
            bar.update()
    take_average(model)
    return {
        "parameters": model.count_params(),
        "steps": steps,
        **_score(model, read_part(run, VALIDATION, size)),
    }


def _score(model: "keras.Model", examples: Sequence[Example]) -> dict[str, Any]:
    squares = [example.square for example in examples]
    score(model, squares[:1], "compiling")
    start = time.perf_counter()
    scores = score(model, squares, "measuring").fracture
    seconds = time.perf_counter() - start
    labels, groups = labels_of(examples), groups_of(examples)
    interval = with_interval(
        lambda i: auc(scores[i], labels[i]),
        groups,
        lambda value: auc_bounds(value, labels, groups),
    )
    return {"auc": asdict(interval), "images_a_second": round(len(examples) / seconds, 1)}


def main() -> None:
    """Run `python -m training.select`."""
    parser = argparse.ArgumentParser(description="Compare architectures under one budget.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--config", type=Path, default=Path("training/configs/select.toml"))
    options = parser.parse_args()
    with exit_with_message("select"):
        comparison = read_comparison(options.config)
        prepare_backend(comparison.common.threads)
        measured = select(comparison, options.run)
    for one in measured:
        value = one["auc"]
        print(
            f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})  {one['name']}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
