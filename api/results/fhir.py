"""Writes a job's result as a FHIR R4 Bundle, for `GET /v1/jobs/{id}/result` with `application/fhir+json`.

The bundle has no patient, because the service knows none: the system that files the report adds `subject`.
The client's `reference` is an identifier of the report.
"""

from typing import Any

from api.results.fhir_parts import (
    DICOM_CODES,
    SNOMED,
    address_of,
    assembled,
    concept,
    digest,
    lengths,
    media,
    observation,
    report,
    share,
    source,
)
from jobs.record.job import Job, moment_text
from model.overlay import overlay_size

PRESENCE = {
    "fracture": ("52101004", "Present"),
    "no_fracture": ("272519000", "Absent"),
    "indeterminate": ("82334004", "Indeterminate"),
}
"""The first two are the codes of DICOM's CID 240 for a finding; the third is of CID 4220."""
SUSPECTED = ("415684004", "Suspected")
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
    return assembled(
        address_of(job.id, "bundle"),
        result_resources(job, links, media_type, system),
        _issued(job),
        transaction,
    )


def result_resources(
    job: Job, links: dict[str, str], media_type: str, system: str
) -> dict[str, dict[str, Any]]:
    """Make the resources of a Bundle of a result, each under its address. As `bundle` otherwise."""
    result, issued = job.result or {}, _issued(job)
    names = ["report", "device", "source", "overlay", "finding"]
    regions = [f"region-{number}" for number in range(1, len(result["regions"]) + 1)]
    to = {name: {"reference": address_of(job.id, name)} for name in names + regions}
    shared = {**observation("preliminary", issued, to["source"], result["image"]), "device": to["device"]}
    resources = {
        "report": _report(job, to, issued, system),
        "device": _device(result["model"]),
        "source": source(result["image"], links["image"], media_type),
        "overlay": media(
            links["heatmap"], "image/png", overlay_size(result["image"]["width"], result["image"]["height"])
        ),
        "finding": {
            **shared,
            "valueCodeableConcept": concept(SNOMED, *PRESENCE[result["finding"]]),
            **({"hasMember": [to[name] for name in regions]} if regions else {}),
            "component": [share(concept(DICOM_CODES, "122157", "Probability"), result["probability"])],
        },
    }
    for name, region in zip(regions, result["regions"], strict=True):
        resources[name] = {**shared, **_region(region)}
    return {address_of(job.id, name): resource for name, resource in resources.items()}


def _issued(job: Job) -> str | None:
    return moment_text(job.finished_at) if job.finished_at else None


def _report(job: Job, to: dict[str, dict[str, str]], issued: str | None, system: str) -> dict[str, Any]:
    result = job.result or {}
    identifiers = [{"use": "official", "system": f"{system}/v1/jobs", "value": job.id}]
    if job.reference:
        identifiers.append(
            {"use": "secondary", "system": f"{system}/v1/jobs/reference", "value": job.reference}
        )
    return {
        **report("preliminary", issued),
        "identifier": identifiers,
        "result": [at for name, at in to.items() if name == "finding" or name.startswith("region-")],
        "media": [{"comment": "The regions of the model, outlined on the image.", "link": to["overlay"]}],
        "conclusion": f"{CONCLUSION[result['finding']]} No physician has looked at this yet.",
    }


def _region(region: dict[str, Any]) -> dict[str, Any]:
    places = lengths(region["box"], "pixels", "{pixels}")
    if "box_mm" in region:
        places += lengths(region["box_mm"], "millimetres", "mm")
    score = share({"text": "Probability that a fracture lies in the region"}, region["score"])
    return {"valueCodeableConcept": concept(SNOMED, *SUSPECTED), "component": [*places, score]}


def _device(model: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "identifier": [digest(model["sha256"])],
        "deviceName": [{"name": model["name"], "type": "model-name"}],
        "type": {"text": "Model that looks for fractures in X-rays"},
        "version": [{"value": model["version"]}],
    }
