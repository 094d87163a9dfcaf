"""Fits `model.radiograph_check` on a network's features: `python -m training.fit_check --run RUN`.

It runs after `training.train` and before `training.evaluate`, which puts radiograph_check.json and its
measures into the bundle. With `--bundle BUNDLE` it needs no run: it fits the check of a finished bundle anew,
on the X-rays that known_xrays.npz names, and puts check, measures and card into that bundle.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import CHECK, Bundle, read_bundle, read_metrics
from model.engines import OPENVINO, start
from model.engines.int8_ranges import PARITY
from training.batches.examples import entries_of
from training.data.bundle_xrays import find_parts
from training.data.split import TRAIN, VALIDATION, read_split
from training.evaluation.radiograph_check import METRICS, fit_and_measure
from training.evaluation.stored_scores import StoredScores, run_engine
from training.network.backend import prepare_backend
from training.network.trained import config_of
from training.run.atomic_file import write_json
from training.run.errors import exit_with_message
from training.write_card import rewrite_with

_SHARED = Path("../shared/data")
_PHOTOGRAPHS = [_SHARED / "photographs-128" / name for name in ("caltech101.zip", "imagenette.zip")]
_COLLECTIONS = [_SHARED / "fracatlas", _SHARED / "bonedata"]


class _Served:
    """The network of a bundle, in float."""

    def __init__(self, bundle: Bundle) -> None:
        """Start the engine."""
        self._engine = start(OPENVINO, bundle, lambda _: None)

    def features_of(self, name: str, squares: Sequence[np.ndarray]) -> np.ndarray:
        """Make what the network sees of squares, float32 (n, FEATURE_COUNT)."""
        return run_engine(self._engine, squares, name)["features"]


def fit_run(run: Path, photographs: Sequence[Path], xrays: Sequence[Path]) -> dict[str, Any]:
    """Fit the check of a run's network, and write it to the run; return its measures."""
    config = config_of(run)
    prepare_backend(config.threads)
    split = read_split(run)
    parts = {
        part: [(run / entry.image, split[entry.image][0]) for entry in entries_of(run, part)]
        for part in (TRAIN, VALIDATION)
    }
    network = StoredScores(run, config)
    check, metrics = fit_and_measure(network, config.input_size, parts, photographs, xrays)
    (run / CHECK).write_text(check.to_json(), encoding="utf-8")
    write_json(run / METRICS, metrics)
    return metrics


def fit_bundle(
    folder: Path, collections: Sequence[Path], photographs: Sequence[Path], xrays: Sequence[Path]
) -> dict[str, Any]:
    """Fit the check of a bundle anew, and replace the bundle by itself with that check; return its measures.

    `collections` hold the X-rays that it was trained on. Its weights, thresholds and version stay. Figures
    of arithmetic in int8 are of the check before, and are left out: `training.quantise` measures them again.
    """
    bundle = read_bundle(folder)
    parts = find_parts(folder, collections)
    size = bundle.description.input_size
    check, measured = fit_and_measure(_Served(bundle), size, parts, photographs, xrays)
    described, metrics = (
        {name: value for name, value in old.items() if name != PARITY} | {"radiograph_check": measured}
        for old in (bundle.description.metrics, read_metrics(bundle))
    )
    about = replace(bundle.description, metrics=described)
    rewrite_with(bundle, metrics, about, {CHECK: check.to_json()})
    return measured


def main() -> None:
    """Run `python -m training.fit_check`."""
    parser = argparse.ArgumentParser(description="Fit the check that a picture is a radiograph.")
    fitted_for = parser.add_mutually_exclusive_group(required=True)
    fitted_for.add_argument("--run", type=Path, help="folder of the run")
    fitted_for.add_argument("--bundle", type=Path, help="a bundle without its run, to be given a new check")
    parser.add_argument(
        "--collections",
        type=Path,
        nargs="+",
        default=_COLLECTIONS,
        help="with --bundle: the X-rays that it was trained on, in a form that collect reads",
    )
    parser.add_argument(
        "--photographs", type=Path, nargs="+", default=_PHOTOGRAPHS, help="zips of KIND_anything.webp"
    )
    parser.add_argument(
        "--xrays", type=Path, nargs="*", default=[], help="the same, of X-rays from elsewhere"
    )
    options = parser.parse_args()
    with exit_with_message("fit_check"):
        if options.bundle:
            metrics = fit_bundle(options.bundle, options.collections, options.photographs, options.xrays)
        else:
            metrics = fit_run(options.run, options.photographs, options.xrays)
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
