"""Draws what `training.evaluate` measured, a PNG each; mistakes show X-rays and stay in the run's folder."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from model.bundle import Thresholds
from training.data.contact_sheet import draw_tiles
from training.evaluation.findings import ScoredPart
from training.evaluation.sample import Sample

PLOTS = {
    "roc.png": "ROC and precision-recall curves on the test part, with both operating points.",
    "reliability.png": "What was said against what was found on the test part; larger dots are more X-rays.",
    "subgroups.png": "AUC in each subgroup of the test part that has both kinds, with 95 % intervals.",
    "robustness.png": "AUC on the test part after what happens to X-rays on their way, with 95 % intervals.",
}
MISSED, FALSE_ALARMS = "missed.png", "false-alarms.png"
_MOST_MISTAKES = 30


def draw_plots(run: Path, metrics: dict[str, Any], test: ScoredPart, thresholds: Thresholds) -> None:
    """Draw every plot, and the worst mistakes, to the run's folder."""
    draw_sample(run, metrics, test, thresholds)
    after = [(one["perturbation"], one["auc"]) for one in metrics["robustness"]]
    _draw_forest(after, metrics["test"]["auc"]["value"]).savefig(run / "robustness.png", dpi=110)
    _draw_mistakes(run, test, thresholds)


def draw_sample(folder: Path, metrics: dict[str, Any], sample: Sample, thresholds: Thresholds) -> None:
    """Draw roc.png, reliability.png and subgroups.png, which take no pixels."""
    _draw_roc(sample, thresholds).savefig(folder / "roc.png", dpi=110)
    _draw_reliability(metrics).savefig(folder / "reliability.png", dpi=110)
    among = [
        (f"{one['name']} (n = {one['n']}, {one['fractured']} fractured)", one["auc"])
        for one in metrics["subgroups"]
        if "auc" in one
    ]
    _draw_forest(among, metrics["test"]["auc"]["value"]).savefig(folder / "subgroups.png", dpi=110)


def _draw_roc(test: Sample, thresholds: Thresholds) -> Figure:
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    fall_out, recall, _ = roc_curve(test.labels, test.probabilities)
    left.plot(fall_out, recall)
    left.plot([0, 1], [0, 1], color="gray", linewidth=0.6)
    precision, found, _ = precision_recall_curve(test.labels, test.probabilities)
    right.plot(found, precision)
    right.axhline(test.labels.mean(), color="gray", linewidth=0.6)
    for name, threshold in (("low", thresholds.low), ("high", thresholds.high)):
        called = test.probabilities >= threshold
        hit, alarm = called[test.labels].mean(), called[~test.labels].mean()
        left.plot(alarm, hit, "o", label=f"{name}: {threshold:.3f}")
        if called.any():
            right.plot(hit, test.labels[called].mean(), "o")
    left.set(xlabel="1 - specificity", ylabel="sensitivity")
    left.legend(loc="lower right")
    right.set(xlabel="sensitivity", ylabel="positive predictive value", ylim=(0, 1.02))
    return figure


def _draw_reliability(metrics: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    bins = metrics["reliability"]
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.6)
    axes.plot([one["said"] for one in bins], [one["found"] for one in bins], color="tab:blue", linewidth=0.8)
    sizes = [20 + 4 * np.sqrt(one["n"]) ** 1.5 for one in bins]
    axes.scatter([one["said"] for one in bins], [one["found"] for one in bins], s=sizes)
    axes.set(xlabel="probability said", ylabel="share that is fractured", xlim=(0, 1), ylim=(0, 1))
    return figure


def _draw_forest(rows: list[tuple[str, dict[str, Any]]], whole: float) -> Figure:
    known = [(name, value) for name, value in rows if value["value"] is not None]
    figure = Figure(figsize=(8, 1 + 0.32 * max(1, len(known))), layout="constrained")
    axes = figure.subplots()
    for place, (_, value) in enumerate(reversed(known)):
        axes.plot([value["low"], value["high"]], [place, place], color="tab:blue")
        axes.plot(value["value"], place, "o", color="tab:blue")
    axes.axvline(whole, color="gray", linewidth=0.6)
    axes.set_yticks(range(len(known)), [name for name, _ in reversed(known)])
    axes.set_xlabel("area under the ROC curve")
    return figure


def _draw_mistakes(run: Path, test: ScoredPart, thresholds: Thresholds) -> None:
    p, order = test.probabilities, np.argsort(test.probabilities)
    missed = [i for i in order if test.labels[i] and p[i] < thresholds.low]
    alarms = [i for i in order[::-1] if not test.labels[i] and p[i] >= thresholds.high]
    for name, chosen in ((MISSED, missed), (FALSE_ALARMS, alarms)):
        entries = [(i, test.examples[i].entry) for i in chosen[:_MOST_MISTAKES]]
        draw_tiles([(run / e.image, e, f"{e.region} {p[i]:.2f}") for i, e in entries]).save(run / name)
