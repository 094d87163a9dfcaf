"""Writes a reading as a FHIR R4 Bundle: what was asked, what the model answered, what the reader signed.

The bundle has no patient, because the service knows none. Where FHIR demands one it says `unknown`.
"""

from base64 import b64encode
from dataclasses import asdict, dataclass
from typing import Any

from api.readings.fhir_measurements import measured
from api.readings.fhir_request import practitioner, request, task
from api.readings.wording import FINDING, conclusion
from api.results.fhir import CONCLUSION, PRESENCE, SUSPECTED, result_resources
from api.results.fhir_parts import (
    FRACTURE,
    HL7,
    SNOMED,
    address_of,
    assembled,
    concept,
    lengths,
    observation,
    report,
    source,
)
from jobs.reading.reading import Reading
from jobs.reading.report import canonical
from jobs.record.job import Job

_PRESENCE = {
    "fracture": PRESENCE["fracture"],
    "no_fracture": PRESENCE["no_fracture"],
    "not_sure": PRESENCE["indeterminate"],
}
_ADDRESSES = ("request", "task", "report", "finding", "concordance")
_AUTHORS_SIGNATURE = {
    "system": "urn:iso-astm:E1762-95:2013",
    "code": "1.2.840.10065.1.12.1.1",
    "display": "Author's Signature",
}


@dataclass(frozen=True)
class Seen:
    """What the one who asks may see of a reading: the model's answer, and the signed report."""

    answer: bool = True
    report: bool = True


def bundle(
    reading: Reading,
    job: Job,
    links: dict[str, str],
    media_type: str,
    system: str,
    seen: Seen,
    transaction: bool = False,
) -> dict[str, Any]:
    """Make a Bundle of a reading of a job: a `collection`, or a `transaction`.

    `links` are the job's; `media_type` is the submitted image's; `system` is a URL of the service, for
    the namespaces of its identifiers. A server that is sent the transaction again updates what has changed.
    """
    to = {name: {"reference": address_of(reading.id, name)} for name in _ADDRESSES}
    to["source"] = {"reference": address_of(job.id, "source")}
    to["reader"] = {"reference": address_of(reading.reader or "", "practitioner")}
    to["service"] = {"reference": address_of(system, "service")}
    image = asdict(job.image) | (job.acquisition or {})
    answer: dict[str, dict[str, Any]] = {}
    changed: set[str] = set()
    if seen.answer and job.result:
        answer = result_resources(job, links, media_type, system)
        if reading.reports:
            of_model = answer[address_of(job.id, "report")]
            of_model["conclusion"] = CONCLUSION[job.result["finding"]]
            changed.add(address_of(job.id, "report"))
    else:
        answer[to["source"]["reference"]] = source(image, links["image"], media_type)
    signed = bool(reading.reports) and seen.report
    own = {"request": request(reading, to, system, seen.answer), "task": task(reading, to, system, signed)}
    if reading.reader:
        own["reader"] = practitioner(reading, system)
    if signed:
        own |= _signed(reading, image, to, system)
        if seen.answer:
            own["concordance"] = _concordance(reading, job, to, system)
    addresses = to | {name: {"reference": address_of(reading.id, name)} for name in own.keys() - to.keys()}
    resources = {addresses[name]["reference"]: resource for name, resource in own.items()}
    return assembled(
        address_of(reading.id, "bundle"),
        resources | answer,
        reading.history[-1]["at"],
        transaction,
        changing=changed | {at for at, one in resources.items() if one["resourceType"] != "Provenance"},
    )


def _signed(
    reading: Reading, image: dict[str, Any], to: dict[str, dict[str, str]], system: str
) -> dict[str, dict[str, Any]]:
    """Make the resources of the report that was signed last, and of every signature."""
    last = reading.reports[-1]
    said, status = last["report"], "amended" if len(reading.reports) > 1 else "final"
    shared = {**observation(status, last["at"], to["source"], image), "performer": [to["reader"]]}
    sites = {f"site-{number}": site for number, site in enumerate(said["sites"], start=1)}
    places = [{"reference": address_of(reading.id, name)} for name in sites]
    measurements = {
        f"measurement-{number}": measured(one, shared)
        for number, one in enumerate(said.get("measurements", ()), start=1)
    }
    canonical_report = canonical(said)
    resources = {
        "service": {
            "resourceType": "Device",
            "deviceName": [{"name": "Osteo-Synergy", "type": "other"}],
            "type": {"text": "Service that attests signatures. They are no qualified electronic signatures"},
        },
        "report": {
            **report(status, last["at"]),
            "identifier": [{"system": f"{system}/v1/readings", "value": reading.id}],
            "basedOn": [to["request"]],
            "performer": [to["reader"]],
            "resultsInterpreter": [to["reader"]],
            "result": [
                to["finding"],
                *places,
                *({"reference": address_of(reading.id, name)} for name in measurements),
            ],
            "conclusion": conclusion(said),
            **({"conclusionCode": [concept(SNOMED, *FRACTURE)]} if said["finding"] == "fracture" else {}),
            "presentedForm": [
                {
                    "contentType": "application/json",
                    "data": b64encode(canonical_report).decode(),
                    "size": len(canonical_report),
                    "title": "The report as it was signed",
                }
            ],
        },
        "finding": {
            **shared,
            **_value(said["finding"]),
            **({"hasMember": places} if places else {}),
            "component": [{"code": {"text": "Urgent"}, "valueBoolean": said["urgent"]}],
        },
    }
    resources |= {name: _site(site, said, shared) for name, site in sites.items()}
    resources |= measurements
    void = shared | {"status": "entered-in-error"}
    for version in reading.reports[-2::-1]:
        # What a later version has taken back may be on the server of a client.
        before = version["report"]
        for number, site in enumerate(before["sites"], start=1):
            resources.setdefault(f"site-{number}", _site(site, before, void))
        for number, one in enumerate(before.get("measurements", ()), start=1):
            resources.setdefault(f"measurement-{number}", measured(one, void))
    for version in reading.reports:
        resources[f"signature-{version['number']}"] = _provenance(version, to)
    return resources


def _site(site: dict[str, Any], said: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Make the Observation of one site of a report."""
    presence = PRESENCE["fracture"] if said["finding"] == "fracture" else SUSPECTED
    return {
        **shared,
        "valueCodeableConcept": concept(SNOMED, *presence),
        **({"bodySite": {"text": site["bone"]}} if "bone" in site else {}),
        "component": lengths(site.get("box") or site["point"], "pixels", "{pixels}"),
    }


def _value(finding: str) -> dict[str, Any]:
    if finding in _PRESENCE:
        return {"valueCodeableConcept": concept(SNOMED, *_PRESENCE[finding])}
    unknown = {"system": f"{HL7}/data-absent-reason", "code": "unknown", "display": "Unknown"}
    return {"dataAbsentReason": {"coding": [unknown], "text": FINDING[finding]}}


def _provenance(version: dict[str, Any], to: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Make the Provenance of one signed version. It has the signature as a JWS, in base64 as FHIR has it."""
    amends = version["number"] > 1
    return {
        "resourceType": "Provenance",
        "target": [to["report"]],
        "occurredDateTime": version["at"],
        "recorded": version["at"],
        **({"reason": [{"text": version["reason"]}]} if version["reason"] else {}),
        "activity": concept(
            f"{HL7}/v3-DataOperation", *(("UPDATE", "revise") if amends else ("CREATE", "create"))
        ),
        "agent": [
            {
                "type": concept(f"{HL7}/provenance-participant-type", "author", "Author"),
                "who": to["reader"],
            }
        ],
        "signature": [
            {
                "type": [_AUTHORS_SIGNATURE],
                "when": version["at"],
                # The key is the service's: it attests that the reader signed with a one-time code.
                "who": to["service"],
                "onBehalfOf": to["reader"],
                "targetFormat": "application/json",
                "sigFormat": "application/jose",
                "data": b64encode(version["jws"].encode()).decode(),
            }
        ],
    }


def _concordance(reading: Reading, job: Job, to: dict[str, dict[str, str]], system: str) -> dict[str, Any]:
    """Make the Observation of how the model's answer and the reader's first finding differ."""
    differs, first = reading.disagreement or {}, reading.committed or {}
    findings = [to["finding"]]
    if job.result:
        findings.append({"reference": address_of(job.id, "finding")})
    components: list[dict[str, Any]] = [
        {"code": {"text": "First finding of the reader"}, **_value(first["finding"])},
        {
            "code": {"text": "The reader had seen nothing of the model's answer"},
            "valueBoolean": first["blind"],
        },
    ]
    if differs.get("grade"):
        components.append(
            {"code": {"text": "Grade of the model's answer by RADPEER"}, "valueString": differs["grade"]}
        )
    kind = differs["kind"]
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "Disagreement of the model's answer with the first finding of the reader"},
        "issued": first["at"],
        "derivedFrom": findings,
        "performer": [to["service"]],
        "valueCodeableConcept": {
            "coding": [{"system": f"{system}/fhir/disagreement", "code": kind}],
            "text": kind.replace("_", " "),
        },
        "component": components,
    }
