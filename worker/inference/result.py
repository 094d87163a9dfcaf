"""Makes the result of a job of what a model has found."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Protocol

from jobs.record.job import Job
from model.decode.radiograph import Radiograph
from model.prediction import Prediction

_STEP = 0.0001


class Analyst(Protocol):
    """What an analysis needs of a model: worker.rollout.models.LoadedModel has it."""

    name: str
    version: str
    sha256: str
    digest: str

    def refuse_unless_gray(self, radiograph: Radiograph) -> None:
        """Raise NotARadiograph for a colour picture and for a blank one."""

    def predict(self, radiograph: Radiograph) -> Prediction:
        """Predict. Raises NotARadiograph where the answer says that the picture certainly is none."""


def result_of(job: Job, prediction: Prediction, analyst: Analyst) -> dict[str, Any]:
    """Return the result of a job as clients read it, with the model that has looked at the image."""
    # Of the geometry `GET /v1/jobs/{id}/targets` tells.
    acquisition = {name: fact for name, fact in (job.acquisition or {}).items() if name != "geometry"}
    points = prediction.points or ()
    return {
        "finding": prediction.finding,
        "probability": _in_digits(prediction.probability, points),
        "regions": [
            {
                "box": list(region.box),
                "score": _in_digits(region.score, points),
                **_in_millimetres(region.box, acquisition.get("pixel_spacing")),
            }
            for region in prediction.regions
        ],
        "field": list(prediction.field),
        "warnings": [asdict(warning) for warning in prediction.warnings],
        **_operating_points(prediction),
        "model": _model(job, analyst),
        "image": {
            "sha256": job.image.sha256,
            "width": job.image.width,
            "height": job.image.height,
            "format": job.image.format,
            **acquisition,
        },
    }


def _model(job: Job, analyst: Analyst) -> dict[str, str]:
    named = {
        "name": analyst.name,
        "version": analyst.version,
        "sha256": analyst.sha256,
        "bundle": analyst.digest,
    }
    return named | {"instead_of": job.model} if job.model not in (None, analyst.digest) else named


def _operating_points(prediction: Prediction) -> dict[str, Any]:
    if prediction.points is None:
        return {}
    low, high = (_in_digits(point) for point in prediction.points)
    return {"operating_points": {"low": low, "high": high}}


def _in_digits(probability: float, points: Iterable[float] = ()) -> float:
    """Round a probability to four digits. It reaches the rounded points that it reaches before, no others.

    None is 0 or 1, because nothing is that certain.
    """
    rounded = min(max(round(probability, 4), _STEP), 1 - _STEP)
    crossed = any(probability < point and rounded >= _in_digits(point) for point in points)
    return round(rounded - _STEP, 4) if crossed else rounded


def _in_millimetres(box: tuple[int, int, int, int], spacing: list[float] | None) -> dict[str, list[float]]:
    if spacing is None:
        return {}
    between_rows, between_columns = spacing
    x, y, width, height = box
    scaled = (x * between_columns, y * between_rows, width * between_columns, height * between_rows)
    return {"box_mm": [round(length, 2) for length in scaled]}
