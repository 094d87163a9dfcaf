"""Serves /v1/model: the model, its operating points and what they mean."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from flask import Blueprint, Response, jsonify, request

from api.http.problem import RETRY_SECONDS, Problem
from api.http.problem_kinds import Slug
from api.openapi.describe import Answer, describe
from jobs.record.errors import NotStored
from jobs.store.objects import Objects
from jobs.store.served_model import served_model


class Figure(TypedDict):
    """A figure of the model on its test part, with its 95 % interval and the number of X-rays."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class OperatingPoint(TypedDict):
    """A threshold on `probability`, and what it means."""

    name: Literal["low", "high"]
    threshold: float
    meaning: str
    sensitivity: Figure | None
    specificity: Figure | None


class Reference(TypedDict):
    """The answers on the test part, with which those of a service can be compared."""

    n: Annotated[int, "X-rays of the test part."]
    probabilities: Annotated[list[int], "Of these, by tenths of `probability`."]
    indeterminate: Annotated[float | None, "The share whose finding is `indeterminate`."]


class ServedModel(TypedDict):
    """The model that analyses new submissions."""

    name: str
    version: str
    sha256: Annotated[str, "Of the weights, as in the `model` of a result."]
    bundle: NotRequired[Annotated[str, "Of the whole bundle, as in the `model` of a result."]]
    backbone: str
    input_size: Annotated[int, "Side of the network's square input, in pixels."]
    preprocessing_version: int
    operating_points: list[OperatingPoint]
    auc: Figure | None
    reference: NotRequired[Annotated[Reference | None, "null where the bundle does not carry it."]]
    data: Annotated[str, "The data that the model was trained on."]
    licence: str
    intended_use: str
    card: Annotated[str, "The model card, in Markdown."]


def model_routes(objects: Objects) -> Blueprint:
    """Make the blueprint of /v1/model."""
    routes = Blueprint("model", __name__, url_prefix="/v1/model")

    @routes.get("")
    @describe(
        "getModel",
        "Get the model, its operating points and what they mean",
        {
            200: Answer("The model that a worker has loaded last.", ServedModel, ("ETag",)),
            304: Answer("The model has not changed."),
        },
        (Slug.NOT_READY,),
        headers=("If-None-Match",),
    )
    def get_model() -> Response:
        try:
            served: dict[str, Any] = served_model(objects)
        except NotStored:
            detail = "No worker has loaded a model yet. Try again once the service is up."
            raise Problem(Slug.NOT_READY, detail, retry_after=RETRY_SECONDS) from None
        response = jsonify(served)
        response.set_etag(
            f"{served['name']}-{served['version']}-{served.get('bundle', served['sha256'])[:16]}"
        )
        response.make_conditional(request)
        return response

    return routes
