"""Describes a bundle to the clients that are given its answers, for `GET /v1/model`. No TensorFlow."""

from typing import Any

from model.bundle import CARD, Bundle, read_metrics

_TENTHS = 10
_MEANINGS = {
    "low": (
        "Below this probability the finding is `no_fracture`. The threshold was fixed for a sensitivity of "
        "95 % on validation X-rays: use it to rule a fracture out."
    ),
    "high": (
        "From this probability on the finding is `fracture`. The threshold was fixed for a specificity of "
        "95 % on validation X-rays: use it to put an X-ray first. Between both thresholds the finding is "
        "`indeterminate`: a person has to look."
    ),
}


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """Describe a bundle as JSON: version, digest, operating points with their meaning and worth, card."""
    described = bundle.description
    measured = described.metrics.get("test", {})
    return {
        "name": described.name,
        "version": described.version,
        "sha256": bundle.sha256,
        "bundle": bundle.digest,
        "backbone": described.backbone,
        "input_size": described.input_size,
        "preprocessing_version": described.preprocessing_version,
        "operating_points": [
            {
                "name": name,
                "threshold": getattr(described.thresholds, name),
                "meaning": meaning,
                "sensitivity": measured.get(f"sensitivity_at_{name}"),
                "specificity": measured.get(f"specificity_at_{name}"),
            }
            for name, meaning in _MEANINGS.items()
        ],
        "auc": measured.get("auc"),
        "reference": _reference(bundle),
        "data": described.data,
        "licence": described.licence,
        "intended_use": "A reading aid for research, not a diagnosis. It is not cleared as a medical device.",
        "card": (bundle.folder / CARD).read_text(encoding="utf-8"),
    }


def _reference(bundle: Bundle) -> dict[str, Any] | None:
    """Count the answers on the test part by tenths of the probability; None where that was not measured."""
    measured = read_metrics(bundle)
    bins, test = measured.get("reliability"), measured.get("test", {})
    if not bins or "indeterminate" not in test:
        return None
    probabilities = [0] * _TENTHS
    for one in bins:
        # The mean of a bin lies in it.
        probabilities[min(int(one["said"] * _TENTHS), _TENTHS - 1)] = one["n"]
    return {
        "n": sum(probabilities),
        "probabilities": probabilities,
        "indeterminate": test["indeterminate"]["value"],
    }
