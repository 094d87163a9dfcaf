"""Writes MODEL_CARD.md from what was measured, for `training.export`: every figure comes from the run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from model.bundle import Description
from model.network import STRIDE
from training.config import Config
from training.measures import Measure

_ROWS = {
    "auc": "area under the ROC curve",
    "auc_without_hardware": "the same without images that show hardware",
    "auc_hands_only": "the same among hands only",
    "sensitivity_at_low": "sensitivity at the lower threshold",
    "specificity_at_low": "specificity at the lower threshold",
    "sensitivity_at_high": "sensitivity at the upper threshold",
    "specificity_at_high": "specificity at the upper threshold",
    "indeterminate": "share called indeterminate",
    "region_hits_a_fracture": "fractured images whose best region's centre lies on a fracture",
    "brier": "Brier score (always answering the test part's own share: {base_brier:.3f})",
}

_TEXT = """# {name} {version}

Says whether a bone X-ray shows a fracture, how probable that is, and roughly where. **Not for diagnosis.**

## How weak it is

This is the first bundle, trained from scratch for about an hour on two shared CPU cores so that the service
has a real model to run. On {test} X-rays from groups that it never saw, its area under the ROC curve is
{auc} (95 % interval {auc_low} to {auc_high}); 0.5 is guessing, 1 is perfect.
At the threshold meant to miss one fracture in twenty, {cleared} of the intact X-rays are cleared.
Part of what it knows is which part of the body it looks at, since hands are fractured more often than legs
in this collection: among hands alone the area is {hands}. Its regions are coarse (a cell is {cell} of the
image's long side), and the best one lies on a fracture in {hits} of the fractured X-rays.
No one should act on its answers.

## Network and training

{backbone} without its top, residual blocks at strides 16 and 32, dense layers to one probability, and
beside them a localisation map of one cell per {stride} pixels. Input: one gray channel of {size} x {size}
pixels, letter-boxed, scaled to [-1, 1] (preprocessing {preprocessing}). No pre-trained weights. A shallower
network's weights pass on to the deeper one, whose new blocks start as identity.

{phases}

Binary cross-entropy, and weighted cross-entropy with Dice over the cells that touch a labelled box; Adam with
warm-up and cosine decay; flips left to right, small turns, scales, shifts, contrast and gamma.
To do it again, from the project's root:

    python -m training.train
    python -m training.fit_check
    python -m training.export

## Data

{data}.
Split by group (near-duplicates, and images taken one after another) 70/15/15 into training, validation
({validation} X-rays, {validation_fractured} fractured) and test ({test}, {test_fractured} fractured). The
source has no patient id, so a patient may still stand on both sides. All images with hardware in this
collection are fractured, and a classifier may learn the hardware.

## Figures

On the test part, opened once, after calibration (temperature {temperature}, bias {bias}) and thresholds
({low} and {high}) had been fixed on the validation part. Intervals: 95 %, 2,000 bootstrap draws of whole
groups.

| measure | value |
| --- | --- |
{table}

Weights are stored as int8 with a scale per output channel. Against float32 on the same {test} X-rays this
changes a probability by {mean_change} on average and {largest_change} at most, and the area under the
curve by {auc_change}. All figures above are of the int8 weights.

## Is it an X-ray at all

Colour pictures, blank ones, and gray ones that do not look like an X-ray are refused before the network runs.
Of {xrays} held-out X-rays {xrays_passing} pass; of {photographs} held-out gray photographs (Tiny ImageNet,
classes not used in fitting) {photographs_refused} are refused. The limit on colour was chosen, not measured:
there were no colour photographs to measure it on. Photographs of screens or films were not tried.

## Licence

{licence}.
"""


def write_card(
    description: Description,
    config: Config,
    measures: Mapping[str, Measure],
    validation: np.ndarray,
    test: np.ndarray,
) -> str:
    """Return the card's Markdown; `validation` and `test` are those parts' labels, bool (n,)."""
    rounding = description.metrics["int8_against_float32"]
    check = description.metrics["radiograph_check"]
    base_brier = float(test.mean() * (1 - test.mean()))
    return _TEXT.format(
        name=description.name,
        version=description.version,
        backbone=description.backbone,
        size=description.input_size,
        preprocessing=description.preprocessing_version,
        data=description.data,
        licence=description.licence,
        stride=STRIDE,
        cell=f"{STRIDE / description.input_size:.0%}",
        auc=f"{measures['auc'].value:.2f}",
        auc_low=f"{measures['auc'].low:.2f}",
        auc_high=f"{measures['auc'].high:.2f}",
        hands=f"{measures['auc_hands_only'].value:.2f}",
        cleared=f"{measures['specificity_at_low'].value:.0%}",
        hits=f"{measures['region_hits_a_fracture'].value:.0%}",
        phases="\n".join(
            f"- {phase.backbone} at {phase.input_size} x {phase.input_size} pixels: {phase.steps} steps of "
            f"{config.batch_size} images, peak rate {phase.peak_rate:g}"
            for phase in config.phases
        ),
        validation=len(validation),
        validation_fractured=int(validation.sum()),
        test=len(test),
        test_fractured=int(test.sum()),
        temperature=f"{description.calibration.temperature:.3g}",
        bias=f"{description.calibration.bias:.3g}",
        low=f"{description.thresholds.low:.4f}",
        high=f"{description.thresholds.high:.4f}",
        table="\n".join(
            f"| {label.format(base_brier=base_brier)} | {measures[name]} |" for name, label in _ROWS.items()
        ),
        mean_change=f"{rounding['mean_change_of_probability']:.4f}",
        largest_change=f"{rounding['largest_change_of_probability']:.4f}",
        auc_change=f"{rounding['change_of_auc']:+.4f}",
        xrays=check["xrays_held_out"],
        xrays_passing=f"{check['xrays_passing']:.1%}",
        photographs=check["photographs_held_out"],
        photographs_refused=f"{check['photographs_refused']:.1%}",
    )
