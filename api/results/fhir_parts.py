"""Makes the elements of FHIR R4 that Bundles of results and of readings share, and assembles Bundles."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence, Set
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

MEDIA_TYPE = "application/fhir+json"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
URI = "urn:ietf:rfc:3986"
HL7 = "http://terminology.hl7.org/CodeSystem"
DICOM_CODES = "http://dicom.nema.org/resources/ontology/DCM"
FRACTURE = ("125605004", "Fracture of bone")
LATERALITY = {"L": ("7771000", "left"), "R": ("24028007", "right"), "B": ("51440002", "right and left")}
_WITHOUT_IDENTIFIER = frozenset({"Provenance"})
"""Resources to which FHIR gives no identifier: a server finds them by a tag."""
_BOX = ("Left edge", "Upper edge", "Width", "Height")
"""The numbers of a box, from the upper left corner of the image. Those of a point are the first two."""


def assembled(
    name: str,
    resources: Mapping[str, dict[str, Any]],
    timestamp: str | None,
    transaction: bool,
    changing: Set[str] = frozenset(),
) -> dict[str, Any]:
    """Make a Bundle of resources, each under its address: a `collection`, or a `transaction`.

    `name` is the address of the Bundle. A server that is sent the transaction again keeps one copy of each
    resource, and updates those whose address is `changing`.
    """
    entries = []
    for address, resource in resources.items():
        kind = resource["resourceType"]
        if kind in _WITHOUT_IDENTIFIER:
            resource["meta"], parameter = {"tag": [{"system": URI, "code": address}]}, "_tag"
        else:
            identifiers = [*resource.get("identifier", ()), {"system": URI, "value": address}]
            resource["identifier"], parameter = identifiers, "identifier"
        entry = {"fullUrl": address, "resource": resource}
        if transaction:
            condition = f"{parameter}={quote(f'{URI}|{address}', safe='')}"
            entry["request"] = (
                {"method": "PUT", "url": f"{kind}?{condition}"}
                if address in changing
                else {"method": "POST", "url": kind, "ifNoneExist": condition}
            )
        entries.append(entry)
    return {
        "resourceType": "Bundle",
        "identifier": {"system": URI, "value": name},
        "type": "transaction" if transaction else "collection",
        "timestamp": timestamp,
        "entry": entries,
    }


def address_of(id_: str, name: str) -> str:
    """Return the address of a resource of a job or a reading. It is always the same."""
    return uuid5(NAMESPACE_URL, f"{id_}/{name}").urn


def report(status: str, issued: str | None) -> dict[str, Any]:
    """Return what every DiagnosticReport has."""
    return {
        "resourceType": "DiagnosticReport",
        "status": status,
        "category": [concept(f"{HL7}/v2-0074", "RAD", "Radiology")],
        "code": concept("http://loinc.org", "18748-4", "Diagnostic imaging study"),
        "issued": issued,
    }


def observation(
    status: str, issued: str | None, source: dict[str, str], image: dict[str, Any]
) -> dict[str, Any]:
    """Return what every Observation of a fracture has. `source` refers to the Media of the `image`."""
    return {
        "resourceType": "Observation",
        "status": status,
        "category": [concept(f"{HL7}/observation-category", "imaging", "Imaging")],
        "code": concept(SNOMED, *FRACTURE),
        "issued": issued,
        "derivedFrom": [source],
        **body_site(image),
    }


def source(image: dict[str, Any], url: str, media_type: str) -> dict[str, Any]:
    """Return the Media of the submitted image."""
    view = {"view": {"text": image["view"]}} if "view" in image else {}
    return media(url, media_type, (image["width"], image["height"])) | {
        "identifier": [digest(image["sha256"])],
        **view,
        **body_site(image),
    }


def lengths(numbers: Sequence[float], unit: str, code: str) -> list[dict[str, Any]]:
    """Return the components of a box, or of a point, in a unit and its code of UCUM."""
    return [
        {
            "code": {"text": f"{name} in {unit}"},
            "valueQuantity": {"value": length, "unit": unit, "system": UCUM, "code": code},
        }
        for name, length in zip(_BOX, numbers, strict=False)
    ]


def media(url: str, media_type: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the Media of a picture of this width and height."""
    width, height = size
    return {
        "resourceType": "Media",
        "status": "completed",
        "type": concept(f"{HL7}/media-type", "image", "Image"),
        "height": height,
        "width": width,
        "content": {"contentType": media_type, "url": url},
    }


def body_site(image: dict[str, Any]) -> dict[str, Any]:
    """Return the element for the part of the body, and its side; none where it is unknown."""
    part = image.get("body_part")
    if part is None:
        return {}
    code, text = part["snomed"], part["meaning"]
    if "laterality" in image:
        # R4 has no element for the side, so the code has it, in the grammar of SNOMED CT.
        side, word = LATERALITY[image["laterality"]]
        code, text = f"{code}:272741003={side}", f"{text}, {word}"
    return {"bodySite": {"coding": [{"system": SNOMED, "code": code}], "text": text}}


def concept(system: str, code: str, display: str) -> dict[str, Any]:
    """Return a concept by one code."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def share(code: dict[str, Any], value: float) -> dict[str, Any]:
    """Return the component of a number from 0 to 1."""
    return {"code": code, "valueQuantity": {"value": value, "unit": "1", "system": UCUM, "code": "1"}}


def digest(sha256: str) -> dict[str, str]:
    """Return the identifier of data by its SHA-256."""
    text = urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()
    return {"system": URI, "value": f"ni:///sha-256;{text}"}
