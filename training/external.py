"""Measures a bundle on a hospital's own X-rays: `python -m training.external FOLDER --bundle BUNDLE`.

Nothing is trained: each X-ray is answered as in service. Writes external.json, report.html and answers.csv to
the run's folder, and with --recalibrate a bundle with the place's calibration and thresholds. The answers of
a killed call are kept.
"""

import argparse
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.bundle import Bundle, read_bundle, refuse_to_replace
from model.engines import choose
from training.data.known_xrays import read_known
from training.evaluation.external.goodness_of_fit import in_the_large, slope
from training.evaluation.external.recalibrate import FOLDS, Recalibrated, recalibrate, write_recalibrated
from training.evaluation.external.site import Site, read_site
from training.evaluation.external.site_report import write_section, write_site_report
from training.evaluation.figures import Calls, measure_subgroups, measure_whole
from training.evaluation.intervals import without_nan
from training.evaluation.least_size import describe_base
from training.evaluation.report import REPORT, as_text
from training.evaluation.sample import Sample
from training.run.atomic_file import write_json, write_table
from training.run.errors import StepRefused, exit_with_message

MEASURED, ANSWERED = "external.json", "answers.csv"
_OF_RANKS = ("auc", "auc_within_sources", "average_precision")


def _measure_site(site: Site, bundle: Bundle, run: Path) -> dict[str, Any]:
    """Measure the bundle as it is, with the thresholds that it brings."""
    about, sample = bundle.description, site.transported(bundle)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "bundle": {
            "name": about.name,
            "version": about.version,
            "sha256": bundle.sha256,
            "engine": choose(None, bundle),
            "preprocessing_version": about.preprocessing_version,
        },
        "site": site.describe(),
        "calibration": asdict(about.calibration),
        "thresholds": asdict(about.thresholds),
        "known_to_the_bundle": site.known_to(bundle, run),
        "refusals": site.refusals(),
        "warnings": site.warnings(),
        "found_of_all_sent": site.found_of_all_sent(about.thresholds.low, sample.probabilities),
        **_measure_figures(sample, Calls.of(sample.probabilities, about.thresholds)),
    }


def _measure_figures(sample: Sample, calls: Calls) -> dict[str, Any]:
    """Measure a sample as a whole and in subgroups, and how well its probabilities fit."""
    p, labels = sample.probabilities, sample.labels

    def fit(statistic: Any) -> dict[str, Any]:
        no_bounds = (float("nan"), float("nan"))
        return sample.measure(lambda i: statistic(p[i], labels[i]), lambda *_: no_bounds)

    whole = measure_whole(sample, calls)
    whole["test"] |= {
        "calibration_in_the_large": fit(in_the_large),
        "calibration_slope": fit(slope),
        "mean_probability": sample.mean(p),
        "share_fractured": sample.mean(labels),
    }
    return {**whole, "subgroups": measure_subgroups(sample, calls)}


def _recalibrate_to(
    folder: Path, site: Site, bundle: Bundle, metrics: dict[str, Any], small: bool, run: Path
) -> None:
    """Write the bundle with the place's calibration and thresholds to `folder`; measure it in `metrics`."""
    base = describe_base(f"X-rays of {', '.join(site.folders)}", site.transported(bundle).labels, small)
    if metrics["test"]["auc"]["low"] <= 0.5:
        raise StepRefused(
            f"the bundle's area under the ROC curve is {as_text(metrics['test']['auc'])} here: it may tell "
            "nothing, and no calibration can mend that"
        )
    fitted = recalibrate(site, bundle)
    after = without_nan(_measure_figures(fitted.sample, fitted.calls))
    _keep_ranks(after, metrics)
    metrics["recalibrated"] = _provenance(site, bundle, metrics, base, fitted, after)
    report = write_site_report(run, metrics, site.transported(bundle))
    write_recalibrated(
        folder,
        bundle,
        fitted,
        metrics["recalibrated"],
        after,
        write_section(metrics["recalibrated"]),
        report,
        site.known_with(read_known(bundle.folder), run),
    )


def _keep_ranks(after: dict[str, Any], before: dict[str, Any]) -> None:
    """Put the figures that rest on ranks alone into `after`: a calibration leaves each X-ray in its place.

    Each fold has a calibration of its own, so that the folds' probabilities together have other ranks.
    """
    after["test"] |= {name: before["test"][name] for name in _OF_RANKS}
    for group, same in zip(after["subgroups"], before["subgroups"], strict=True):
        group |= {name: same[name] for name in _OF_RANKS if name in same}


def _provenance(
    site: Site,
    bundle: Bundle,
    metrics: dict[str, Any],
    base: dict[str, Any],
    fitted: Recalibrated,
    after: dict[str, Any],
) -> dict[str, Any]:
    return {
        **site.describe(),
        "date": metrics["date"],
        "from": {
            "name": bundle.description.name,
            "version": bundle.description.version,
            "sha256": bundle.sha256,
        },
        "fixed_on": base,
        "folds": FOLDS,
        "calibration": asdict(fitted.calibration),
        "thresholds": asdict(fitted.thresholds),
        "before": metrics["test"],
        "after": after["test"],
    }


def _write_answers(run: Path, site: Site, probabilities: Any) -> None:
    """Write answers.csv, a row for each X-ray with its file's name: it stays where the X-rays may be."""
    answers = iter(probabilities)
    rows = [
        {
            "image": entry.image,
            "fractured": int(entry.fractured),
            "probability": "" if one.score is None else f"{next(answers):.4f}",
            "refused": one.refused,
            "why": one.why,
        }
        for entry, one in zip(site.entries, site.served, strict=True)
    ]
    write_table(run / ANSWERED, ["image", "fractured", "probability", "refused", "why"], rows)


def main() -> None:
    """Run `python -m training.external`."""
    parser = argparse.ArgumentParser(description="Measure a bundle on X-rays of your own.")
    parser.add_argument("folders", type=Path, nargs="+", help="labelled X-rays, in a form that collect reads")
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle to measure")
    parser.add_argument("--run", type=Path, help="folder to write to; by default var/external/FOLDER")
    parser.add_argument("--recalibrate", type=Path, metavar="OUT", help="write a bundle fitted to the X-rays")
    parser.add_argument("--small", action="store_true", help="recalibrate on too few X-rays, and mark that")
    options = parser.parse_args()
    run = options.run or Path("var/external") / options.folders[0].resolve().name
    with exit_with_message("external"):
        bundle = read_bundle(options.bundle)
        if options.recalibrate:
            refuse_to_replace(options.recalibrate)
        site = read_site(options.folders, options.bundle, run)
        metrics = without_nan(_measure_site(site, bundle, run))
        sample = site.transported(bundle)
        _write_answers(run, site, sample.probabilities)
        write_json(run / MEASURED, metrics)
        write_site_report(run, metrics, sample)
        if options.recalibrate:
            _recalibrate_to(options.recalibrate, site, bundle, metrics, options.small, run)
            write_json(run / MEASURED, metrics)
    print(f"AUC {as_text(metrics['test']['auc'])}; report: {run / REPORT}", file=sys.stderr)
    if options.recalibrate:
        print(f"recalibrated bundle: {options.recalibrate}", file=sys.stderr)


if __name__ == "__main__":
    main()
