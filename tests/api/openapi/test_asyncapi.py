"""The AsyncAPI document has every event, with the types of the OpenAPI document."""

import jsonschema
import pytest

from jobs.record.events import EVENTS, TARGETS_EVENT
from robot.transport import Status
from tests.api.conftest import Api


@pytest.fixture(scope="module")
def document(served: Api) -> dict:
    return dict(served.request("GET", "/asyncapi.json", key="").json())


def resolved(document: dict, reference: dict) -> dict:
    """What a reference of this document leads to."""
    found = document
    for name in reference["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return resolved(document, found) if "$ref" in found else found


def references_in(part: object) -> list[dict]:
    if isinstance(part, list):
        return [found for item in part for found in references_in(item)]
    if not isinstance(part, dict):
        return []
    own = [part] if isinstance(part.get("$ref"), str) else []
    return own + [found for item in part.values() for found in references_in(item)]


def test_every_event_is_a_message_of_the_callback(document: dict):
    assert document["asyncapi"] == "3.0.0"
    operation = document["operations"]["callback"]
    assert operation["action"] == "send"
    names = [resolved(document, message)["name"] for message in operation["messages"]]
    assert names == list(EVENTS)
    assert list(resolved(document, operation["channel"])["messages"]) == list(EVENTS)


def test_every_reference_leads_somewhere_and_no_schema_is_left_over(document: dict):
    found = references_in(document)
    assert all(resolved(document, reference) for reference in found)
    used = {reference["$ref"].rpartition("/")[2] for reference in found if "/schemas/" in reference["$ref"]}
    assert used == document["components"]["schemas"].keys()


def test_every_example_of_a_message_is_valid_by_its_payload(document: dict):
    for message in document["components"]["messages"].values():
        whole = {**message["payload"], "components": document["components"]}
        for validator in (jsonschema.Draft7Validator, jsonschema.Draft202012Validator):
            validator(whole).validate(message["examples"][0]["payload"])


def test_the_schemas_are_those_of_the_openapi_document(document: dict, served: Api):
    openapi = served.request("GET", "/openapi.json", key="").json()
    for name, schema in document["components"]["schemas"].items():
        assert schema == openapi["components"]["schemas"][name], name


def test_the_targets_have_the_media_type_of_cloudevents(document: dict):
    message = document["components"]["messages"][TARGETS_EVENT]
    assert message["contentType"] == "application/cloudevents+json"
    assert message["payload"] == {"$ref": "#/components/schemas/TargetsEvent"}


def test_the_messages_by_mqtt_are_those_of_the_process(document: dict):
    channels, messages = document["channels"], document["components"]["messages"]
    topics = [channels[name]["address"] for name in ("targetsByMqtt", "statusByMqtt")]
    assert topics == ["osteo/v1/{client}/jobs/{job}/targets", "osteo/v1/{client}/status"]
    assert messages["targetsByMqtt"]["payload"] == messages[TARGETS_EVENT]["payload"]
    assert messages["targetsByMqtt"]["contentType"] == "application/cloudevents+json"
    assert "headers" not in messages["targetsByMqtt"], "those are of the callback"
    assert messages["statusByMqtt"]["payload"]["enum"] == [*Status]
    for name, retain in (("passTargets", False), ("tellStatus", True)):
        binding = document["operations"][name]["bindings"]["mqtt"]
        assert (binding["qos"], binding["retain"]) == (1, retain)
