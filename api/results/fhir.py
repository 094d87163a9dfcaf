"""Writes a job's result as a FHIR R4 Bundle, for `GET /v1/jobs/{id}/result` with `application/fhir+json`.

The bundle has no patient, because the service knows none: the system that files the report adds `subject`.
The client's `reference` is an identifier of the report.
"""

from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from jobs.record.job import Job, moment_text

MEDIA_TYPE = "application/fhir+json"
SNOMED = "http://snomed.info/sct"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
_HL7 = "http://terminology.hl7.org/CodeSystem"
UCUM = "http://unitsofmeasure.org"
URI = "urn:ietf:rfc:3986"
_BOX = ("Left edge", "Upper edge", "Width", "Height")
"""The numbers of a region's box, from the upper left corner of the image."""
FRACTURE = ("125605004", "Fracture of bone")
PRESENCE = {
    "fracture": ("52101004", "Present"),
    "no_fracture": ("272519000", "Absent"),
    "indeterminate": ("82334004", "Indeterminate"),
}
"""The first two are the codes of DICOM's CID 240 for a finding; the third is of CID 4220."""
SUSPECTED = ("415684004", "Suspected")
LATERALITY = {"L": ("7771000", "left"), "R": ("24028007", "right"), "B": ("51440002", "right and left")}
CONCLUSION = {
    "fracture": "The model sees a fracture.",
    "no_fracture": "The model sees no fracture.",
    "indeterminate": "The model cannot tell whether there is a fracture.",
}


def bundle(
    job: Job, links: dict[str, str], media_type: str, system: str, transaction: bool = False
) -> dict[str, Any]:
    """Make a Bundle of the result of a job that has succeeded: a `collection`, or a `transaction`.

    `links` are the job's; `media_type` is the submitted image's; `system` is a URL of the service, for
    the namespaces of its identifiers. The same job makes the same Bundle, and a server that is sent the
    transaction again keeps one copy.
    """
    result = job.result or {}
    issued = moment_text(job.finished_at) if job.finished_at else None
    names = ["report", "device", "source", "overlay", "finding"]
    regions = [f"region-{number}" for number in range(1, len(result["regions"]) + 1)]
    to = {name: {"reference": _address(job, name)} for name in names + regions}
    shared = {
        "status": "preliminary",
        "category": [
            _concept("http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging")
        ],
        "code": _concept(SNOMED, *FRACTURE),
        "issued": issued,
        "device": to["device"],
        "derivedFrom": [to["source"]],
        **_body_site(result["image"]),
    }
    resources = {
        "report": _report(job, to, issued, system),
        "device": _device(result["model"]),
        "source": _source(result["image"], links["image"], media_type),
        "overlay": _media(links["heatmap"], "image/png", result["image"]),
        "finding": {
            "resourceType": "Observation",
            **shared,
            "valueCodeableConcept": _concept(SNOMED, *PRESENCE[result["finding"]]),
            **({"hasMember": [to[name] for name in regions]} if regions else {}),
            "component": [_share(_concept(DCM, "122157", "Probability"), result["probability"])],
        },
    }
    for name, region in zip(regions, result["regions"], strict=True):
        resources[name] = {"resourceType": "Observation", **shared, **_region(region)}
    entries = []
    for name, resource in resources.items():
        address = _address(job, name)
        resource["identifier"] = [*resource.get("identifier", ()), {"system": URI, "value": address}]
        entry = {"fullUrl": address, "resource": resource}
        if transaction:
            condition = f"identifier={quote(f'{URI}|{address}', safe='')}"
            entry["request"] = {
                "method": "POST",
                "url": resource["resourceType"],
                "ifNoneExist": condition,
            }
        entries.append(entry)
    return {
        "resourceType": "Bundle",
        "identifier": {"system": URI, "value": _address(job, "bundle")},
        "type": "transaction" if transaction else "collection",
        "timestamp": issued,
        "entry": entries,
    }


def _report(job: Job, to: dict[str, dict[str, str]], issued: str | None, system: str) -> dict[str, Any]:
    result = job.result or {}
    identifiers = [{"use": "official", "system": f"{system}/v1/jobs", "value": job.id}]
    if job.reference:
        identifiers.append(
            {"use": "secondary", "system": f"{system}/v1/jobs/reference", "value": job.reference}
        )
    return {
        "resourceType": "DiagnosticReport",
        "identifier": identifiers,
        "status": "preliminary",
        "category": [_concept(f"{_HL7}/v2-0074", "RAD", "Radiology")],
        "code": _concept("http://loinc.org", "18748-4", "Diagnostic imaging study"),
        "issued": issued,
        "result": [at for name, at in to.items() if name == "finding" or name.startswith("region-")],
        "media": [{"comment": "The regions of the model, outlined on the image.", "link": to["overlay"]}],
        "conclusion": f"{CONCLUSION[result['finding']]} No physician has looked at this yet.",
    }


def _region(region: dict[str, Any]) -> dict[str, Any]:
    def lengths(box: list[float], unit: str, code: str) -> list[dict[str, Any]]:
        return [
            {
                "code": {"text": f"{name} in {unit}"},
                "valueQuantity": {"value": length, "unit": unit, "system": UCUM, "code": code},
            }
            for name, length in zip(_BOX, box, strict=True)
        ]

    places = lengths(region["box"], "pixels", "{pixels}")
    if "box_mm" in region:
        places += lengths(region["box_mm"], "millimetres", "mm")
    score = _share({"text": "Probability that a fracture lies in the region"}, region["score"])
    return {"valueCodeableConcept": _concept(SNOMED, *SUSPECTED), "component": [*places, score]}


def _device(model: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "identifier": [_digest(model["sha256"])],
        "deviceName": [{"name": model["name"], "type": "model-name"}],
        "type": {"text": "Model that looks for fractures in X-rays"},
        "version": [{"value": model["version"]}],
    }


def _source(image: dict[str, Any], url: str, media_type: str) -> dict[str, Any]:
    view = {"view": {"text": image["view"]}} if "view" in image else {}
    return _media(url, media_type, image) | {
        "identifier": [_digest(image["sha256"])],
        **view,
        **_body_site(image),
    }


def _media(url: str, media_type: str, image: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "Media",
        "status": "completed",
        "type": _concept(f"{_HL7}/media-type", "image", "Image"),
        "height": image["height"],
        "width": image["width"],
        "content": {"contentType": media_type, "url": url},
    }


def _body_site(image: dict[str, Any]) -> dict[str, Any]:
    part = image.get("body_part")
    if part is None:
        return {}
    code, text = part["snomed"], part["meaning"]
    if "laterality" in image:
        # R4 has no element for the side, so the code has it, in the grammar of SNOMED CT.
        side, word = LATERALITY[image["laterality"]]
        code, text = f"{code}:272741003={side}", f"{text}, {word}"
    return {"bodySite": {"coding": [{"system": SNOMED, "code": code}], "text": text}}


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def _share(code: dict[str, Any], value: float) -> dict[str, Any]:
    return {"code": code, "valueQuantity": {"value": value, "unit": "1", "system": UCUM, "code": "1"}}


def _digest(sha256: str) -> dict[str, str]:
    text = urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()
    return {"system": URI, "value": f"ni:///sha-256;{text}"}


def _address(job: Job, name: str) -> str:
    return uuid5(NAMESPACE_URL, f"{job.id}/{name}").urn
