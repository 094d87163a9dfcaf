"""Reads JSON bodies: of limited size and depth, and valid by the schema of the operation."""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import fastjsonschema
from flask import Flask, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.openapi.describe import operation_of

MOST_BYTES = 64 * 1024
MOST_DEPTH = 16
_LONGEST_REASON = 300
"""Most characters of a reason that may quote what the client has sent."""
JSON = "application/json"

Validate = Callable[..., Any]


def check_json_bodies(app: Flask, document: Mapping[str, Any]) -> None:
    """Let `json_body` validate bodies by the schemas that the OpenAPI `document` has for the operations.

    A schema is compiled at the first body for it: the application starts sooner.
    """
    schemas = {
        operation["operationId"]: content[JSON]["schema"]
        for item in document["paths"].values()
        for operation in item.values()
        if "requestBody" in operation and JSON in (content := operation["requestBody"]["content"])
    }
    app.extensions["json_bodies"] = cache(lambda id_: _validator(schemas[id_], document["components"]))


def json_body() -> dict[str, Any]:
    """Read the JSON object in the body of this request; an empty one for an optional body that is absent.

    Raises Problem: 413 for more than MOST_BYTES, before they are read; 400 for a body that is not JSON, is
    nested deeper than MOST_DEPTH, or is not valid by the schema of the operation.
    """
    operation = operation_of(current_app.view_functions[request.endpoint or ""])
    assert operation is not None
    data = _body()
    if not data and not operation.body_required:
        return {}
    if not request.is_json:
        raise Problem(Slug.MALFORMED, f"Send a JSON object as the body, with `Content-Type: {JSON}`.")
    try:
        body: dict[str, Any] = loads(data, MOST_DEPTH)
        current_app.extensions["json_bodies"](operation.id)(body, name_prefix="body")
    except fastjsonschema.JsonSchemaValueException as error:
        raise Problem(Slug.MALFORMED, f"The JSON is not as /docs describes it: {_short(error)}.") from error
    except ValueError as error:
        raise Problem(Slug.MALFORMED, f"The body is not JSON: {_short(error)}.") from error
    return body


def loads(text: str | bytes, most_depth: int) -> Any:
    """Parse a JSON text. Raises ValueError for no JSON, and for more than `most_depth` levels."""
    try:
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
        deep = _depth(value) > most_depth
    except RecursionError:
        deep = True
    if deep:
        raise ValueError(f"it is nested deeper than {most_depth} levels")
    return value


def _body() -> bytes:
    # One byte more than the limit: werkzeug cuts a body without Content-Length at its limit without an error.
    request.max_content_length = MOST_BYTES + 1
    with suppress(RequestEntityTooLarge):
        if len(data := request.get_data(cache=False)) <= MOST_BYTES:
            return data
    detail = f"A JSON body takes at most {MOST_BYTES} bytes. Send less."
    raise Problem(Slug.REQUEST_ENTITY_TOO_LARGE, detail, max_bytes=MOST_BYTES)


def _validator(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Validate:
    # The routes check formats, such as that of a date, because they explain them better.
    validate: Validate = fastjsonschema.compile(
        {**schema, "components": components}, use_default=False, use_formats=False, detailed_exceptions=False
    )
    return validate


def _short(error: Exception) -> str:
    return str(error)[:_LONGEST_REASON].rstrip(".")


def _finite(text: str) -> float:
    """Parse a number. Raises ValueError for NaN, Infinity and 1e999, which Python reads and JSON lacks."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is not a number in JSON")
    return number


def _depth(value: Any) -> int:
    depth, level = 0, [value] if isinstance(value, dict | list) else []
    while level:
        depth += 1
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
    return depth
