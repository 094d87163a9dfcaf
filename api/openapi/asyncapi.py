"""Makes the AsyncAPI 3.0 document of the callbacks, of the OpenAPI document and so of the same types."""

import re
from typing import Any

_REFERENCE = re.compile(r"#/components/schemas/(\w+)")


def asyncapi_of(openapi: dict[str, Any]) -> dict[str, Any]:
    """Return the AsyncAPI document of every webhook of an OpenAPI document."""
    messages = {event: _message(event, item["post"]) for event, item in openapi["webhooks"].items()}
    references = {event: {"$ref": f"#/channels/callbacks/messages/{event}"} for event in messages}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"{openapi['info']['title']}: callbacks",
            "version": openapi["info"]["version"],
            "description": "What the service sends to the receivers of its clients, by POST. Each is"
            " signed by Standard Webhooks, and may come twice with the same webhook-id.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "callbacks": {
                "address": None,
                "description": "The `callback_url` that a client names in its request.",
                "messages": {event: {"$ref": f"#/components/messages/{event}"} for event in messages},
            }
        },
        "operations": {
            "callback": {
                "action": "send",
                "channel": {"$ref": "#/channels/callbacks"},
                "messages": list(references.values()),
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
        },
        "components": {"messages": messages, "schemas": _needed(messages, openapi["components"]["schemas"])},
    }


def _message(event: str, operation: dict[str, Any]) -> dict[str, Any]:
    ((media_type, content),) = operation["requestBody"]["content"].items()
    headers = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    return {
        "name": event,
        "title": operation["summary"],
        "contentType": media_type,
        "headers": {"type": "object", "required": sorted(headers), "properties": headers},
        "payload": content["schema"],
        "examples": [{"payload": content["example"]}],
    }


def _needed(part: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas that a part of the document refers to, and those that these refer to."""
    needed: dict[str, Any] = {}
    waiting = _names_in(part)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = schemas[name]
            waiting |= _names_in(schemas[name])
    return dict(sorted(needed.items()))


def _names_in(part: Any) -> set[str]:
    if isinstance(part, list):
        return set().union(*map(_names_in, part))
    if not isinstance(part, dict):
        return set()
    own = _REFERENCE.fullmatch(str(part.get("$ref")))
    return set().union({own[1]} if own else set(), *map(_names_in, part.values()))
