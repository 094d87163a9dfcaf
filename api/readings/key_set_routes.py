"""Publishes the keys that reports are signed with."""

from typing import Any, TypedDict

from flask import Blueprint, Response, jsonify

from api.openapi.describe import Answer, describe
from api.readings.signature import Signatures


class KeySet(TypedDict):
    """A JSON Web Key Set."""

    keys: list[dict[str, Any]]


def key_set_routes(signatures: Signatures) -> Blueprint:
    """Make the blueprint of this route."""
    routes = Blueprint("key_set", __name__)

    @routes.get("/.well-known/jwks.json")
    @describe(
        "getKeySet",
        "Get the public key of the signatures of reports",
        {200: Answer("The key, as a JSON Web Key Set (RFC 7517).", KeySet)},
        public=True,
    )
    def key_set() -> Response:
        response = jsonify(signatures.key_set())
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    return routes
