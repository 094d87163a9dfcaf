"""Every form of a result says the same numbers, and no region says more than its X-ray."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from api.results import dicom_report, fhir
from api.results.overlay import outlines_of
from jobs.record.job import Job
from model.prediction import OperatingPoints
from tests import pictures
from tests.api.results.test_dicom_report import items, named
from tests.results import RESULT, succeeded_job
from tests.worker.inference.test_result import result

POINTS = OperatingPoints(0.05, 0.4)
SHARES = (1.0, 0.9999, 0.62)
SOURCE = pictures.dicom_of_a_study(pictures.gray())


def fhir_of(job: Job) -> dict[str, Any]:
    return fhir.bundle(job, {"image": "/i", "heatmap": "/h"}, "application/dicom", "https://osteo.example")


def dicom_of(job: Job) -> Dataset:
    pytest.importorskip("highdicom", reason="DICOM OUTPUT WAS NOT TRIED: highdicom is missing")
    return dcmread(io.BytesIO(dicom_report.report(job, SOURCE)))


def numbers_of_fhir(job: Job) -> list[float]:
    return [
        component["valueQuantity"]["value"]
        for entry in fhir_of(job)["entry"]
        for component in entry["resource"].get("component", ())
        if component["valueQuantity"]["code"] == "1"
    ]


def numbers_of_dicom(job: Job) -> list[float]:
    report = dicom_of(job)
    (probability,) = (item.MeasuredValueSequence[0] for item in named(report, "Probability"))
    assert probability.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    certainties = [item.MeasuredValueSequence[0] for item in named(report, "Certainty of Feature")]
    assert {one.MeasurementUnitsCodeSequence[0].CodeValue for one in certainties} == {"%"}
    return [
        float(probability.NumericValue),
        *(round(float(one.NumericValue) / 100, 9) for one in certainties),
    ]


def numbers_of_the_overlay(job: Job) -> list[float]:
    outlines = outlines_of(job)
    return [outlines.probability, *(outline.score for outline in outlines.regions)]


@pytest.mark.parametrize("probability", [0.1, 0.39995, 0.399999, 0.4, 0.95, 0.99996, 1.0])
@pytest.mark.parametrize("numbers_of", [numbers_of_fhir, numbers_of_dicom, numbers_of_the_overlay])
def test_each_form_says_what_the_result_says(numbers_of: Callable[[Job], list[float]], probability: float):
    written = result(probability, *(probability * share for share in SHARES), points=POINTS)
    job = succeeded_job(RESULT | written | {"image": RESULT["image"]})
    first, *scores = numbers = numbers_of(job)
    assert numbers == pytest.approx(
        [written["probability"], *(region["score"] for region in written["regions"])], abs=1e-9
    )
    assert len(scores) == len(SHARES)
    assert 0 < max(scores) <= first < 1
    assert (max(scores) >= POINTS.high) == (probability >= POINTS.high)


@pytest.mark.parametrize("probability", [0.1, 0.399999])
def test_an_indeterminate_x_ray_has_no_solid_outline(probability: float):
    written = result(probability, probability, points=POINTS)
    (outline,) = outlines_of(succeeded_job(RESULT | written)).regions
    assert not outline.solid


def test_no_sentence_of_fhir_or_dicom_has_digits_of_a_probability():
    # Their numbers are coded, with a unit; a sentence would have to say "< 0.01".
    job = succeeded_job(RESULT | result(0.0041, 0.0041, points=OperatingPoints(0.001, 0.4)))
    resources = [entry["resource"] for entry in fhir_of(job)["entry"]]
    assert not [resource for resource in resources if "text" in resource], "a narrative"
    (report,) = (one for one in resources if one["resourceType"] == "DiagnosticReport")
    sentences = [report["conclusion"], *(one["comment"] for one in report["media"])]
    sentences += [item.TextValue for item in items(dicom_of(job)) if "TextValue" in item]
    assert len(sentences) > 4
    assert not [text for text in sentences if "0.0" in text or "0.4" in text]
