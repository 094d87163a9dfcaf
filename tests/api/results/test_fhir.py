import json
from urllib.parse import parse_qs

import pytest
from fhir.resources.R4B.bundle import Bundle as BundleOfR4B
from fhirclient.models.bundle import Bundle as BundleOfR4
from fhirclient.models.fhirabstractbase import FHIRValidationError
from pydantic import ValidationError
from pydicom.sr._concepts_dict import concepts

from api.results import fhir, fhir_parts
from tests.results import RESULT, succeeded_job

LINKS = {"image": "https://osteo.example/v1/jobs/j/image", "heatmap": "/v1/jobs/j/heatmap"}
PLAIN = {
    **RESULT,
    "finding": "no_fracture",
    "regions": [],
    "image": {"sha256": "0" * 64, "width": 128, "height": 96, "format": "PNG"},
}


SYSTEM = "https://osteo.example"


def made(result: dict = RESULT, transaction: bool = False, **changes: object) -> dict:
    job = succeeded_job(result, **changes)
    return json.loads(json.dumps(fhir.bundle(job, LINKS, "application/dicom", SYSTEM, transaction)))


def of_kind(bundle: dict, kind: str) -> list[dict]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("result", [RESULT, PLAIN, {**PLAIN, "finding": "indeterminate"}])
@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("reference", [None, "order 17"])
def test_the_bundle_is_valid_by_two_models_of_fhir(result: dict, reference: str | None, transaction: bool):
    bundle = made(result, transaction, reference=reference)
    # 4.0.1 by the structure of every element; 4.3, the same for these resources, by the form of each value.
    assert BundleOfR4(bundle).as_json() == bundle
    assert BundleOfR4B.model_validate(bundle)


def test_the_overlay_of_a_large_radiograph_has_its_own_size():
    large = {**RESULT, "image": {**RESULT["image"], "width": 2500, "height": 3000}}
    sizes = {one["content"]["url"]: (one["width"], one["height"]) for one in of_kind(made(large), "Media")}
    assert sizes == {LINKS["image"]: (2500, 3000), LINKS["heatmap"]: (1333, 1600)}


def test_the_models_would_see_a_mistake():
    bundle = made()
    of_kind(bundle, "DiagnosticReport")[0]["stage"] = "preliminary"
    with pytest.raises(FHIRValidationError):
        BundleOfR4(bundle)
    bundle = made()
    of_kind(bundle, "Observation")[0]["issued"] = "yesterday"
    with pytest.raises(ValidationError):
        BundleOfR4B.model_validate(bundle)


def test_every_reference_leads_to_a_resource_of_the_bundle():
    bundle = made()
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(addresses)) == len(addresses) == 7
    named = {text.split('"')[0] for text in json.dumps(bundle["entry"]).split('"reference": "')[1:]}
    assert named == set(addresses) - {bundle["entry"][0]["fullUrl"]}


def test_the_report_is_preliminary_and_names_finding_regions_and_model():
    bundle = made(reference="order 17")
    (report,) = of_kind(bundle, "DiagnosticReport")
    finding, *regions = of_kind(bundle, "Observation")
    (device,) = of_kind(bundle, "Device")
    assert report["status"] == finding["status"] == "preliminary"
    official, secondary, _ = report["identifier"]
    assert official["system"] == f"{SYSTEM}/v1/jobs"
    assert (secondary["system"], secondary["value"]) == (f"{SYSTEM}/v1/jobs/reference", "order 17")
    assert len(report["result"]) == 3
    assert finding["code"]["coding"][0]["code"] == "125605004"
    assert finding["valueCodeableConcept"]["coding"][0]["display"] == "Present"
    assert finding["component"][0]["valueQuantity"]["value"] == 0.93
    assert finding["bodySite"]["coding"][0]["code"] == "14975008:272741003=7771000"
    assert finding["bodySite"]["text"] == "Forearm structure, left"
    *places, score = [component["valueQuantity"] for component in regions[0]["component"]]
    assert [(place["value"], place["code"]) for place in places] == [
        *((length, "{pixels}") for length in (10, 20, 30, 40)),
        *((length, "mm") for length in (1, 4, 3, 8)),
    ]
    assert 0 < score["value"] < 1
    assert device["version"] == [{"value": "1.2.3"}]


def test_no_patient_is_named():
    text = json.dumps(made())
    assert "subject" not in text
    assert "Patient" not in text


def test_the_same_job_makes_the_same_bundle():
    job = succeeded_job()
    assert fhir.bundle(job, LINKS, "image/png", SYSTEM) == fhir.bundle(job, LINKS, "image/png", SYSTEM)


def test_the_codes_are_those_that_dicom_gives_for_their_meanings():
    def meanings(scheme: str, code: str) -> str:
        return " ".join(known[code][0].lower() for known in concepts[scheme].values() if code in known)

    for code, text in [*fhir.PRESENCE.values(), fhir.SUSPECTED, *fhir_parts.LATERALITY.values()]:
        assert text.lower() in meanings("SCT", code)
    assert meanings("DCM", "122157") == "probability"


def test_a_transaction_makes_each_resource_once_however_often_it_is_sent():
    bundle = made(transaction=True)
    assert bundle["type"] == "transaction"
    for entry in bundle["entry"]:
        asked = entry["request"]
        assert (asked["method"], asked["url"]) == ("POST", entry["resource"]["resourceType"])
        assert parse_qs(asked["ifNoneExist"]) == {"identifier": [f"{fhir_parts.URI}|{entry['fullUrl']}"]}
        assert {"system": fhir_parts.URI, "value": entry["fullUrl"]} in entry["resource"]["identifier"]
