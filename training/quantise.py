"""Prepares a bundle for arithmetic in int8: `python -m training.quantise --run RUN --bundle FOLDER`.

Ranges are drawn on X-rays of the run's training part. What int8 changes is measured on its validation part,
against the same bundle in float; the test part stays closed. Both go into the bundle, and into its card.

The command measures in the arithmetic of AVX2, whose sums of int8 are the least exact ones, on any x86
processor: AVX2 then takes int8 by itself as well.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import CARD, MEASURED, Bundle, read_bundle, read_metrics
from model.engines import OPENVINO, OPENVINO_INT8, start
from model.engines.int8_ranges import PARITY, RANGES, answered_by, missed_goals, write_ranges
from model.engines.processor import AS_AVX2, adds_int8_in_16_bits
from training.batches.examples import entries_of, read_entries, read_part
from training.data.split import TRAIN, VALIDATION, division_of
from training.evaluation.intervals import without_nan
from training.evaluation.least_size import mark
from training.evaluation.report import as_text
from training.evaluation.summary import as_share
from training.network.trained import refuse_bundle_of_another_division
from training.quantisation.card import with_section
from training.quantisation.parity import answer, compare
from training.quantisation.ranges import draw_ranges
from training.run.changed_bundle import write_changed
from training.run.errors import exit_with_message

XRAYS = 200
"""More move no range by much, and each takes its time."""
_SEED = 1
_MARK = "int8"


def quantise(run: Path, folder: Path, xrays: int = XRAYS) -> dict[str, Any]:
    """Put ranges and figures of int8 arithmetic into the bundle in `folder`; return the figures.

    Raises AnotherDivision where the run's parts are not those that the bundle has learned from.
    """
    bundle = read_bundle(folder)
    division = division_of(run)
    refuse_bundle_of_another_division(bundle, run, division)
    size = bundle.description.input_size
    entries = entries_of(run, TRAIN)
    drawn = np.random.default_rng(_SEED).choice(len(entries), min(xrays, len(entries)), replace=False)
    learned = read_entries(run, [entries[i] for i in sorted(drawn)], size, TRAIN)
    of = {"part": TRAIN, "xrays": len(learned), "seed": _SEED, "division": division}
    ranges = write_ranges(draw_ranges(bundle, [example.square for example in learned]), of)
    figures = _measure(run, bundle, ranges) | {"ranges": of}
    _write(folder, bundle, ranges, figures)
    return figures


def _measure(run: Path, bundle: Bundle, ranges: str) -> dict[str, Any]:
    about = bundle.description
    examples = read_part(run, VALIDATION, about.input_size)
    with tempfile.TemporaryDirectory() as folder:
        candidate = write_changed(Path(folder) / "bundle", bundle, about, {RANGES: ranges})
        real, int8 = (
            answer(candidate, start(name, candidate, lambda _: None), examples)
            for name in (OPENVINO, OPENVINO_INT8)
        )
    figures: dict[str, Any] = without_nan(compare(about.thresholds, int8, real))
    measured_on = {
        "part": VALIDATION,
        "xrays": len(examples),
        "fractured": int(real.part.labels.sum()),
        "sums_in_16_bits": adds_int8_in_16_bits(),
    }
    return {"measured_on": measured_on, "answered_by": answered_by(about), **figures}


def _write(folder: Path, bundle: Bundle, ranges: str, figures: dict[str, Any]) -> None:
    old = bundle.description
    words = old.version.partition("+")[2].split(".")
    version = old.version if _MARK in words else mark(old.version, _MARK)
    card = (bundle.folder / CARD).read_text(encoding="utf-8")
    card = card.replace(f"# {old.name} {old.version}\n", f"# {old.name} {version}\n", 1)
    texts = {
        RANGES: ranges,
        CARD: with_section(card, figures),
        MEASURED: json.dumps(read_metrics(bundle) | {PARITY: figures}, indent=2) + "\n",
    }
    described = replace(old, version=version, metrics=old.metrics | {PARITY: figures})
    write_changed(folder, bundle, described, texts)


def main() -> None:
    """Run `python -m training.quantise`."""
    parser = argparse.ArgumentParser(description="Draw ranges for int8 arithmetic, and measure it.")
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the run that the bundle comes from"
    )
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle, which is replaced")
    parser.add_argument("--xrays", type=int, default=XRAYS, help=f"X-rays to draw ranges on ({XRAYS})")
    options = parser.parse_args()
    os.environ.update(AS_AVX2)
    with exit_with_message("quantise"):
        figures = quantise(options.run, options.bundle, options.xrays)
    missed = ", ".join(missed_goals(figures)) or "none"
    print(
        f"AUC lost {as_text(figures['auc_loss'], 4)}; findings changed "
        f"{as_share(figures['findings_changed_beyond'], 2)}; regions moved "
        f"{as_share(figures['regions_moved'], 2)}; goals missed: {missed}; bundle: {options.bundle}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
