"""Fits `model.radiograph_check` on a network's features: `python -m training.fit_check --run RUN`.

It runs after `training.train` and before `training.evaluate`, which puts radiograph_check.json and its
measures into the bundle. With `--bundle BUNDLE` it needs no run: it fits the check of a finished bundle anew,
on the X-rays that known_xrays.npz names, and puts check, measures and card into that bundle.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.bundle import CHECK, read_bundle, read_metrics
from model.engines import OPENVINO, start
from model.engines.int8_ranges import PARITY
from training.batches.examples import entries_of
from training.data.bundle_xrays import find_parts
from training.data.split import TRAIN, VALIDATION, read_split
from training.evaluation.stored_scores import StoredScores
from training.network.backend import prepare_backend
from training.network.trained import config_of
from training.radiograph_check.fit import FITTED_FOR, METRICS, fit_and_measure
from training.radiograph_check.pictures import Amounts
from training.radiograph_check.stored_features import StoredFeatures
from training.run.atomic_file import write_json
from training.run.errors import exit_with_message
from training.write_card import rewrite_with

_SHARED = Path("../shared/data")
_PHOTOGRAPHS = [
    _SHARED / "photographs-128/caltech101.zip",
    _SHARED / "photographs-128/imagenette.zip",
    _SHARED / "tiny-imagenet-gray/train-0.zip",
]
_OTHER_XRAYS = [_SHARED / "photographs-128/knees.zip"]
_COLLECTIONS = [_SHARED / "fracatlas", _SHARED / "bonedata"]
_FEATURES = "check-features"
"""Folder of what a network saw: of a run, beside its scores; of a bundle, in var, as it has no run."""


def fit_run(
    run: Path, photographs: Sequence[Path], xrays: Sequence[Path], amounts: Amounts
) -> dict[str, Any]:
    """Fit the check of a run's network, and write it to the run; return its measures."""
    config = config_of(run)
    prepare_backend(config.threads)
    split = read_split(run)
    parts = {
        part: [(run / entry.image, split[entry.image][0], entry.source) for entry in entries_of(run, part)]
        for part in (TRAIN, VALIDATION)
    }
    scores = StoredScores(run, config)
    network = StoredFeatures(scores.served, scores.folder / _FEATURES)
    check, metrics = fit_and_measure(network, config.input_size, parts, photographs, xrays, amounts)
    (run / CHECK).write_text(check.to_json(), encoding="utf-8")
    write_json(run / METRICS, metrics | {FITTED_FOR: scores.fingerprint})
    return metrics


def fit_bundle(
    folder: Path,
    collections: Sequence[Path],
    photographs: Sequence[Path],
    xrays: Sequence[Path],
    amounts: Amounts,
) -> dict[str, Any]:
    """Fit the check of a bundle anew, and replace the bundle by itself with that check; return its measures.

    `collections` hold the X-rays that it was trained on. Its weights and thresholds stay. The patch number of
    its version is raised, since answers name the version. Figures of arithmetic in int8 are of the check
    before, and are left out: `training.quantise` measures them again.
    """
    bundle = read_bundle(folder)
    parts = find_parts(folder, collections)
    size = bundle.description.input_size
    network = StoredFeatures(
        start(OPENVINO, bundle, lambda _: None), Path("var") / _FEATURES / bundle.sha256[:16]
    )
    check, measured = fit_and_measure(network, size, parts, photographs, xrays, amounts)
    described, metrics = (
        {name: value for name, value in old.items() if name != PARITY} | {"radiograph_check": measured}
        for old in (bundle.description.metrics, read_metrics(bundle))
    )
    version = _raise_patch(bundle.description.version)
    about = replace(bundle.description, version=version, metrics=described)
    rewrite_with(bundle, metrics, about, {CHECK: check.to_json()})
    return measured


def _raise_patch(version: str) -> str:
    """Raise the third number of a version of three; build metadata stay, and other versions as a whole."""
    return re.sub(r"^(\d+\.\d+\.)(\d+)", lambda found: f"{found[1]}{int(found[2]) + 1}", version)


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
        "--xrays", type=Path, nargs="*", default=_OTHER_XRAYS, help="the same, of X-rays from elsewhere"
    )
    options = parser.parse_args()
    with exit_with_message("fit_check"):
        if options.bundle:
            metrics = fit_bundle(
                options.bundle, options.collections, options.photographs, options.xrays, Amounts()
            )
        else:
            metrics = fit_run(options.run, options.photographs, options.xrays, Amounts())
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
