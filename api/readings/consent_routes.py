"""Serves whether models may learn from a job: a client reads it, allows it, and revokes it."""

from typing import Annotated, Literal, NotRequired, TypedDict

from flask import Blueprint, Response, jsonify

from api.http.problem_kinds import Slug
from api.intake.fields import MAX_REFERENCE, consent_of
from api.intake.reading_limits import refuse_forbidden_training
from api.openapi.describe import Answer, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from api.readings.actions import ReadingActions
from api.routes.job_answers import OWN_JOB_PROBLEMS, forget_if_deleted, own_job
from jobs.record.documents import MOMENT
from jobs.record.job import now
from jobs.store.consents import Consent, Consents


class ConsentOrder(TypedDict):
    """What the client allows from now on."""

    training_use: Annotated[Literal["allowed", "denied"], "Whether models may learn from the radiograph."]
    consent_reference: NotRequired[
        Annotated[
            str, {"maxLength": MAX_REFERENCE}, "With `allowed`: your own reference to the consent document."
        ]
    ]


class ConsentDocument(TypedDict):
    """What the client allows."""

    training_use: Literal["allowed", "denied"]
    consent_reference: str | None
    at: Annotated[str, MOMENT, "When it was set last."]


def consent_routes(actions: ReadingActions) -> Blueprint:
    """Make the blueprint of these routes."""
    routes, consents = Blueprint("consent", __name__, url_prefix="/v1/jobs"), Consents(actions.ledger.records)

    @routes.get("/<job_id>/consent")
    @describe(
        "getConsent",
        "Get whether models may learn from the radiograph of a job",
        {200: Answer("What the client allows.", ConsentDocument)},
        OWN_JOB_PROBLEMS,
    )
    def show(job_id: str) -> Response:
        return jsonify(_document(consents.of(own_job(job_id, actions.ledger))))

    @routes.put("/<job_id>/consent")
    @describe(
        "setConsent",
        "Allow that models learn from the radiograph of a job, or revoke it",
        {200: Answer("What the client allows from now on.", ConsentDocument)},
        (*OWN_JOB_PROBLEMS, Slug.TRAINING_FORBIDDEN),
        description="What was exported before stays until the operator's next export, which takes it out and"
        " lists it as revoked.",
        body=Annotated[ConsentOrder, CLOSED],
    )
    def set_consent(job_id: str) -> Response:
        job, given = own_job(job_id, actions.ledger), consent_of(json_body())
        allowed = given["training_use"] is not None
        if allowed:
            refuse_forbidden_training(actions.policies.of(job.client))
        consent = consents.put(job, allowed, given["consent_reference"], now())
        forget_if_deleted(job.id, actions.ledger, consents.forget)
        return jsonify(_document(consent))

    return routes


def _document(consent: Consent) -> ConsentDocument:
    return {
        "training_use": "allowed" if consent.allowed else "denied",
        "consent_reference": consent.reference,
        "at": consent.at,
    }
