"""Makes the FHIR resources of what was asked for: the ServiceRequest, the Task, and who does it."""

from typing import Any

from jobs.reading.reading import Reading
from jobs.reading.states import ReadingState
from jobs.record.job import moment_text

_REQUEST = {
    **dict.fromkeys((ReadingState.REQUESTED, ReadingState.CLAIMED), "active"),
    **dict.fromkeys((ReadingState.SIGNED, ReadingState.AMENDED), "completed"),
    **dict.fromkeys((ReadingState.RETURNED, ReadingState.CANCELED, ReadingState.EXPIRED), "revoked"),
}
_TASK = {
    ReadingState.REQUESTED: "requested",
    ReadingState.CLAIMED: "accepted",
    ReadingState.SIGNED: "completed",
    ReadingState.AMENDED: "completed",
    ReadingState.RETURNED: "rejected",
    ReadingState.CANCELED: "cancelled",
    ReadingState.EXPIRED: "failed",
}
_RETURNED = {
    "not_diagnostic": "The radiograph allows no answer.",
    "wrong_side": "The side is wrong.",
    "other_view": "Another view is needed.",
}
_CODE = {"text": "Reading of a radiograph by a person"}
_NO_PATIENT = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    ]
}


def request(reading: Reading, to: dict[str, dict[str, str]], system: str, seen: bool) -> dict[str, Any]:
    """Make the ServiceRequest. It alone has the client's question.

    An arbitration shows that the model's answer was doubted: its reason is named where the answer may be
    `seen`.
    """
    made = {
        "resourceType": "ServiceRequest",
        "identifier": [_identifier(reading.id, system)],
        "status": _REQUEST[reading.state],
        "intent": "order",
        "priority": reading.priority,
        "code": _CODE,
        "subject": _NO_PATIENT,
        "authoredOn": moment_text(reading.requested_at),
        "supportingInfo": [to["source"]],
    }
    if reading.question:
        made["reasonCode"] = [{"text": reading.question}]
    if reading.arbitrates and seen:
        made["reasonReference"] = [
            {
                "type": "DiagnosticReport",
                "identifier": _identifier(reading.arbitrates, system),
                "display": "The report whose disagreement with the model this reading decides",
            }
        ]
    return made


def task(reading: Reading, to: dict[str, dict[str, str]], system: str, signed: bool) -> dict[str, Any]:
    """Make the Task. Its output is the report, where one is `signed`."""
    period = {}
    if reading.claimed_at:
        period["start"] = moment_text(reading.claimed_at)
    if reading.reports:
        period["end"] = reading.reports[-1]["at"]
    made: dict[str, Any] = {
        "resourceType": "Task",
        "identifier": [_identifier(reading.id, system)],
        "basedOn": [to["request"]],
        "status": _task_status(reading),
        "intent": "order",
        "priority": reading.priority,
        "code": {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]},
        "focus": to["request"],
        "authoredOn": moment_text(reading.requested_at),
        "lastModified": reading.history[-1]["at"],
        "restriction": {"period": {"end": moment_text(reading.due_at)}},
    }
    if reading.reader:
        made["owner"] = to["reader"]
    if period:
        made["executionPeriod"] = period
    if reading.returned:
        said = (_RETURNED[reading.returned["reason"]], reading.returned["text"])
        made["statusReason"] = {"text": " ".join(filter(None, said))}
    elif reading.state is ReadingState.EXPIRED:
        made["statusReason"] = {"text": "No reader signed it in time."}
    if signed:
        made["output"] = [{"type": {"text": "Signed report"}, "valueReference": to["report"]}]
    return made


def practitioner(reading: Reading, system: str) -> dict[str, Any]:
    """Make the Practitioner who reads, or has read."""
    return {
        "resourceType": "Practitioner",
        "identifier": [{"system": f"{system}/v1/readers", "value": reading.reader}],
        "name": [{"text": reading.reader_name}],
    }


def _task_status(reading: Reading) -> str:
    begun = reading.draft or reading.committed
    return "in-progress" if reading.state is ReadingState.CLAIMED and begun else _TASK[reading.state]


def _identifier(reading_id: str, system: str) -> dict[str, str]:
    return {"system": f"{system}/v1/readings", "value": reading_id}
