"""Fifth step: `python -m training.evaluate --run RUN --bundle FOLDER` measures a network, and bundles it.

Calibration and thresholds are chosen on the validation part. Only then is the test part opened, and each
opening is recorded. Writes metrics.json, plots, report.html and the bundle, and keeps what a killed run has
scored.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.bundle import CARD, CHECK, MEASURED, Description, refuse_to_replace, write_bundle
from model.onnx_graph import to_onnx
from model.weights import write_weights
from training.batches.examples import entries_of, labels_of, read_part
from training.data.ancestry import read_ancestry, read_known_before, refuse_overlap
from training.data.known_xrays import FILE as KNOWN
from training.data.known_xrays import known_of
from training.data.manifest import read_manifest
from training.data.split import TEST, TRAIN, VALIDATION, division_of, read_split
from training.evaluation.card import write_card
from training.evaluation.findings import ScoredPart, compare, localise, measure
from training.evaluation.intervals import without_nan
from training.evaluation.least_size import describe_base, mark_small
from training.evaluation.plots import draw_plots
from training.evaluation.report import REPORT, write_report
from training.evaluation.robustness import measure_robustness, size_only
from training.evaluation.stored_scores import StoredScores
from training.evaluation.thresholds import choose_operating_points
from training.network.backend import prepare_backend
from training.network.trained import beginning_of, config_of, refuse_another_division
from training.radiograph_check.fit import FITTED_FOR, NO_CHECK
from training.radiograph_check.fit import METRICS as CHECK_METRICS
from training.run.atomic_file import write_json
from training.run.errors import StepRefused, exit_with_message
from training.run.test_part_openings import record_opening


def evaluate(run: Path, bundle: Path, again: bool = False, small: bool = False) -> dict[str, Any]:
    """Measure the run's network, write its report and its bundle; return the metrics.

    StepRefused where the validation part is too small to fix thresholds on, unless `small`: then all that is
    written is marked. BundleRefused where `bundle` is a folder with other files.
    """
    refuse_to_replace(bundle)
    config = config_of(run)
    division = division_of(run)
    refuse_another_division(run, division)
    before = read_known_before(run)
    refuse_overlap(run, before)
    scores = StoredScores(run, config)
    check, check_measures = _read_check(run, scores.fingerprint)
    known = read_part(run, VALIDATION, config.input_size)
    fixed_on = describe_base("validation part", labels_of(known), small)
    chosen = choose_operating_points(known, scores.of(VALIDATION, [example.square for example in known]))
    calibration, thresholds = chosen.calibration, chosen.thresholds

    openings = record_opening(run, division, scores.fingerprint, again)
    unseen = read_part(run, TEST, config.input_size)
    squares = [example.square for example in unseen]
    test = ScoredPart.of(unseen, scores.of(TEST, squares), calibration)
    exact = ScoredPart.of(unseen, scores.exactly_of(TEST, squares), calibration)
    metrics: dict[str, Any] = {
        "config": asdict(config),
        "began_with": beginning_of(run),
        "ancestry": read_ancestry(run),
        "data": _describe(run),
        "openings_of_the_test_part": openings,
        "calibration": asdict(calibration),
        "thresholds": asdict(thresholds),
        "region_calibration": asdict(chosen.regions),
        "fixed_on": fixed_on,
        **measure(test, thresholds),
        "int8_against_float32": compare(test, exact),
        "robustness": measure_robustness(run, test, scores),
        "size_only": size_only(run, test),
        "radiograph_check": check_measures,
    }
    cam = scores.grad_cam_of(TEST, squares)
    metrics["localisation"]["grad_cam"] = localise(
        test, cam, thresholds.low, list(cam >= _GRAD_CAM_THRESHOLD)
    )
    metrics = without_nan(metrics)
    write_json(run / MEASURED, metrics)
    draw_plots(run, metrics, test, thresholds)
    public_report = write_report(run, metrics)
    description = Description(
        name=f"osteo-{config.backbone.lower()}",
        version=mark_small(config.version, fixed_on),
        backbone=config.backbone,
        input_size=config.input_size,
        thresholds=thresholds,
        calibration=calibration,
        region_calibration=chosen.regions,
        metrics={
            "test": metrics["test"],
            "fixed_on": fixed_on,
            "localisation": metrics["localisation"]["head"],
            "radiograph_check": metrics["radiograph_check"],
        },
        data=", ".join(_of_ancestors(metrics, "data", ", ", metrics["data"]["sources"])),
        licence="; ".join(_of_ancestors(metrics, "licence", "; ", metrics["data"]["licences"])),
    )
    everything = read_manifest(run)
    texts = {
        CHECK: check,
        CARD: write_card(description, metrics),
        MEASURED: json.dumps(metrics, indent=2) + "\n",
        REPORT: public_report,
    }
    write_bundle(
        bundle,
        description,
        lambda path: write_weights(path, scores.exact),
        to_onnx(scores.exact),
        texts,
        {KNOWN: known_of(run, everything, read_split(run), before).write},
    )
    return metrics


_GRAD_CAM_THRESHOLD = 0.5
"""Half of its own maximum, as its authors cut it."""


def _of_ancestors(metrics: dict[str, Any], key: str, separator: str, own: list[str]) -> list[str]:
    """List the run's own sources or licences, and those of every bundle that its network goes back to."""
    inherited = [one for bundle in metrics["ancestry"] for one in bundle[key].split(separator) if one]
    return list(dict.fromkeys([*own, *sorted(inherited)]))


def _describe(run: Path) -> dict[str, Any]:
    entries = {part: entries_of(run, part) for part in (TRAIN, VALIDATION, TEST)}
    everything = [entry for inside in entries.values() for entry in inside]
    return {
        "division": division_of(run),
        "sources": sorted({entry.source for entry in everything}),
        "licences": sorted({entry.licence for entry in everything}),
        "parts": {
            part: {
                "images": len(inside),
                "fractured": sum(entry.fractured for entry in inside),
                "by_region": dict(Counter(entry.region for entry in inside).most_common()),
            }
            for part, inside in entries.items()
        },
    }


def _read_check(run: Path, network: str) -> tuple[str, dict[str, Any] | None]:
    """Read the radiograph check that was fitted for the network, and its measures.

    Without one, it is a check that refuses nothing. StepRefused where it was fitted on the features of
    another network, such as the run's own before more steps.
    """
    if not (run / CHECK).exists():
        return NO_CHECK.to_json(), None
    measured = json.loads((run / CHECK_METRICS).read_text(encoding="utf-8"))
    if measured.pop(FITTED_FOR, None) != network:
        raise StepRefused(
            f"the check for radiographs in {run} was fitted for another network; run python -m "
            f"training.fit_check --run {run} first, or remove {run / CHECK}"
        )
    return (run / CHECK).read_text(encoding="utf-8"), measured


def main() -> None:
    """Run `python -m training.evaluate`."""
    parser = argparse.ArgumentParser(description="Measure a trained network once, and write its bundle.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--bundle", type=Path, required=True, help="folder to write or replace")
    parser.add_argument("--again", action="store_true", help="open a test part that has been opened before")
    parser.add_argument(
        "--small", action="store_true", help="fix thresholds on too few X-rays, and mark that"
    )
    options = parser.parse_args()
    with exit_with_message("evaluate"):
        prepare_backend(config_of(options.run).threads)
        metrics = evaluate(options.run, options.bundle, options.again, options.small)
    value = metrics["test"]["auc"]
    print(
        f"AUC {value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f}, n = {value['n']}); "
        f"report: {options.run / REPORT}; bundle: {options.bundle}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
