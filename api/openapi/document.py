"""Makes the OpenAPI 3.1 document from the descriptions of all routes."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, get_args, get_origin, is_typeddict

from flask import Flask

from api.http.problem import ProblemDocument
from api.http.problem_kinds import KINDS, Slug
from api.identity.scopes import Scope
from api.openapi.describe import Answer, DescribedCallback, Operation, operation_of
from api.openapi.examples import EVENT_EXAMPLES, SCHEMA_EXAMPLES
from api.openapi.parameters import HEADERS, PATH
from api.openapi.schema import Schema, annotations_of, hints_of, object_schema, schema_of
from api.openapi.tags import all_tags, tag_of

_SECURITY = {
    "apiKey": {"type": "http", "scheme": "bearer"},
    "readerKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The key of a reader: a person who reads radiographs.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Signature of a callback: Standard Webhooks, HMAC-SHA256 with the client's secret.",
    },
}
NO_API = ("reading_room.", "ar_page.")
"""The beginnings of the endpoints of pages for people, which are no part of the API."""
_OF_ANY_JSON = (Slug.MALFORMED, Slug.REQUEST_ENTITY_TOO_LARGE)
_OF_ANY_WITH_A_KEY = (Slug.UNAUTHORIZED, Slug.INSUFFICIENT_SCOPE, Slug.PART_DOWN, Slug.TOO_BUSY)


def openapi_of(app: Flask, server: str) -> dict[str, Any]:
    """Make the OpenAPI document of every route of `app` but pages for people, below the URL `server`.

    Raises LookupError for a route without a description.
    """
    named: dict[str, Schema] = {}
    paths: dict[str, dict[str, Any]] = {}
    webhooks: dict[str, dict[str, Any]] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(NO_API):
            continue
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is None:
            raise LookupError(f"{rule} is not described: put @describe on its function")
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(rule))
        item = paths.setdefault(path, {})
        if rule.arguments:
            item["parameters"] = [_path_parameter(name, named) for name in sorted(rule.arguments)]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            described = _operation(operation, operation.needs(method), named)
            item[method.lower()] = {"tags": [tag_of(path)], **described}
            if operation.callback:
                webhooks |= _webhooks(operation.callback, named)
    for name, example in SCHEMA_EXAMPLES.items():
        named[name]["examples"] = [example]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Osteo-Synergy",
            "version": "1",
            "description": "Analyses bone radiographs: whether each shows a fracture, with which probability,"
            " and where. Callbacks follow Standard Webhooks. Every answer has an X-Request-ID: the client's"
            " own, if it sent one of at most 128 letters, digits and signs of `._~:/+=@-`, or a new one.",
        },
        **({"servers": [{"url": server}]} if server else {}),
        "tags": all_tags(),
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "securitySchemes": _SECURITY,
            "schemas": dict(sorted(named.items())),
        },
    }


def _operation(operation: Operation, scope: Scope | None, named: dict[str, Schema]) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary}
    if operation.description:
        described["description"] = operation.description
    described["security"] = [{"apiKey": [scope]}] if scope else []
    if operation.readers:
        described["security"].append({"readerKey": []})
    if parameters := [
        *_query_parameters(operation.query, named),
        *(
            {"name": name, "in": "header", "schema": schema_of(HEADERS[name], named)}
            for name in operation.headers
        ),
    ]:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": _content(operation.body, named, in_place=True),
        }
    given = {str(status): _answer(answer, named) for status, answer in operation.answers.items()}
    described["responses"] = dict(sorted((_problems(operation, named) | given).items()))
    if (callback := operation.callback) and callback.address:
        described["callbacks"] = {callback.name: {callback.address: {"post": _callback(callback, named)}}}
    return described


def _callback(callback: DescribedCallback, named: dict[str, Schema]) -> dict[str, Any]:
    return {
        "summary": callback.summary,
        "security": [{"signature": []}],
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
            for name in callback.headers
        ],
        "requestBody": {"content": _content(callback.body, named)},
        "responses": {status: {"description": text} for status, text in callback.answers.items()},
    }


def _webhooks(callback: DescribedCallback, named: dict[str, Schema]) -> dict[str, Any]:
    """Describe the callback of each event, with an example of its body."""
    webhooks: dict[str, Any] = {}
    for event in callback.events:
        described = _callback(callback, named) | {"summary": f"{callback.summary}: {event}"}
        for content in described["requestBody"]["content"].values():
            content["example"] = EVENT_EXAMPLES[event]
        webhooks[event] = {"post": described}
    return webhooks


def _answer(answer: Answer, named: dict[str, Schema]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        described["headers"] = {name: _header(name, named) for name in answer.headers}
    if answer.body:
        described["content"] = _content(answer.body, named)
    return described


def _problems(operation: Operation, named: dict[str, Schema]) -> dict[str, Any]:
    """Describe the problems of an operation by status. Every route with a key may answer some of them."""
    of_json = _OF_ANY_JSON if operation.body and not isinstance(operation.body, Mapping) else ()
    names = (*(() if operation.public else _OF_ANY_WITH_A_KEY), *of_json, *operation.problems)
    by_status: dict[int, list[Slug]] = {}
    for name in sorted(set(names)):
        by_status.setdefault(KINDS[name].status, []).append(name)
    return {
        str(status): _answer(
            Answer(
                "\n".join(f"`{name}`: {KINDS[name].meaning}" for name in kinds),
                {"application/problem+json": ProblemDocument},
                (
                    *(("Retry-After",) if any(KINDS[name].passes for name in kinds) else ()),
                    *(("RateLimit-Policy", "RateLimit") if status == HTTPStatus.TOO_MANY_REQUESTS else ()),
                ),
            ),
            named,
        )
        for status, kinds in by_status.items()
    }


def _content(body: Any, named: dict[str, Schema], in_place: bool = False) -> dict[str, Any]:
    by_type = body if isinstance(body, Mapping) else {"application/json": body}

    def schema(kind: Any) -> Schema:
        plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        return object_schema(kind, named) if in_place and is_typeddict(plain) else schema_of(kind, named)

    return {media_type: {"schema": schema(kind)} for media_type, kind in by_type.items()}


def _header(name: str, named: dict[str, Schema]) -> dict[str, Any]:
    schema = annotations_of(HEADERS[name])
    return {
        "description": schema.pop("description"),
        "schema": schema_of(get_args(HEADERS[name])[0], named) | schema,
    }


def _path_parameter(name: str, named: dict[str, Schema]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema_of(PATH.get(name, str), named)}


def _query_parameters(query: Any, named: dict[str, Schema]) -> Iterator[dict[str, Any]]:
    for name, kind in hints_of(query).items() if query else ():
        schema = schema_of(kind, named)
        text = schema.pop("description", None)
        yield {"name": name, "in": "query", **({"description": text} if text else {}), "schema": schema}
