"""Makes the AsyncAPI 3.0 document of callbacks and of MQTT, of the OpenAPI document: of the same types."""

import re
from typing import Any

from jobs.record.events import TARGETS_EVENT

_TARGETS_BY_MQTT, _STATUS_BY_MQTT = "targetsByMqtt", "statusByMqtt"
_REFERENCE = re.compile(r"#/components/schemas/(\w+)")


def asyncapi_of(openapi: dict[str, Any]) -> dict[str, Any]:
    """Return the AsyncAPI document of every webhook of an OpenAPI document, and of what `robot/` sends."""
    messages = {event: _message(event, item["post"]) for event, item in openapi["webhooks"].items()}
    by_mqtt = _messages_by_mqtt(messages[TARGETS_EVENT])
    references = {event: {"$ref": f"#/channels/callbacks/messages/{event}"} for event in messages}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"{openapi['info']['title']}: events",
            "version": openapi["info"]["version"],
            "description": "What the service sends to the receivers of its clients, by POST. Each is"
            " signed by Standard Webhooks, and may come twice with the same webhook-id. Where `python -m"
            " robot` runs, it passes the targets of its client on by MQTT 5.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "callbacks": {
                "address": None,
                "description": "The `callback_url` that a client names in its request.",
                "messages": {event: {"$ref": f"#/components/messages/{event}"} for event in messages},
            },
            **_channels_by_mqtt(),
        },
        "operations": {
            "callback": {
                "action": "send",
                "channel": {"$ref": "#/channels/callbacks"},
                "messages": list(references.values()),
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            },
            "passTargets": _operation_by_mqtt(_TARGETS_BY_MQTT, retain=False),
            "tellStatus": _operation_by_mqtt(_STATUS_BY_MQTT, retain=True),
        },
        "components": {
            "messages": messages | by_mqtt,
            "schemas": _needed(messages, openapi["components"]["schemas"]),
        },
    }


def _messages_by_mqtt(targets: dict[str, Any]) -> dict[str, Any]:
    """Return the messages of `robot/`: the CloudEvent of the callback, and the status."""
    of_callback = {name: targets[name] for name in ("contentType", "payload", "examples")}
    return {
        _TARGETS_BY_MQTT: {
            "name": _TARGETS_BY_MQTT,
            "title": "The targets of a job, as the callback has them",
            "summary": "Its message expiry interval is the seconds of validity that remain, or those up to"
            " `--max-age` if fewer; a day for an event that is not actionable once its validity is over. The"
            " user property `traceparent` is that of the callback.",
            **of_callback,
        },
        _STATUS_BY_MQTT: {
            "name": _STATUS_BY_MQTT,
            "title": "What the process can be relied upon for",
            "summary": "`offline` is the will. The others come every second; their user property `time_ns` is"
            " the sender's time since 1970.",
            "contentType": "text/plain",
            "payload": {"type": "string", "enum": ["online", "degraded", "offline"]},
            "examples": [{"payload": "online"}],
        },
    }


def _channels_by_mqtt() -> dict[str, Any]:
    client = {"client": {"description": "The client of the service."}}
    job = {"job": {"description": "The id of the job."}}
    addresses = {
        _TARGETS_BY_MQTT: ("osteo/v1/{client}/jobs/{job}/targets", client | job),
        _STATUS_BY_MQTT: ("osteo/v1/{client}/status", client),
    }
    return {
        name: {
            "address": address,
            "parameters": parameters,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        for name, (address, parameters) in addresses.items()
    }


def _operation_by_mqtt(name: str, retain: bool) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
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
