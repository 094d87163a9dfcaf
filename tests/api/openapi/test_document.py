"""Tests the description of the API: it is complete and correct, and refers to no other host."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict, get_args, get_type_hints

import jsonschema
import pytest
from flask import Flask
from openapi_spec_validator import validate

from api.app import create_app
from api.http.media_types import MEDIA_TYPE
from api.openapi.document import NO_API, openapi_of
from api.openapi.schema import CLOSED, object_schema, schema_of
from jobs.record.documents import Image
from jobs.record.events import EVENTS, TARGETS_EVENT
from jobs.record.ids import is_id
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from tests.api.conftest import RESULT, Api, collaborators
from tests.api.routes.test_jobs import PNG

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def document(api: Api) -> dict:
    return api.request("GET", "/openapi.json", key="").json()


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture
def succeeded(api: Api, ledger: Ledger) -> Job:
    job = ledger.read(api.submit(PNG).json()["id"])
    return ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))


def test_the_document_is_valid_and_describes_exactly_the_routes_that_exist(document: dict, ledger: Ledger):
    validate(document)
    described = {
        (path, method.upper())
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    app = create_app(Settings("x" * 32), collaborators(Settings("x" * 32), ledger, None, None))
    exist = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(rule)), method)
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(NO_API)
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith(NO_API)
    }
    assert described == exist


def test_every_operation_has_a_name_of_its_own(document: dict):
    names = [
        operation["operationId"]
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(set(names)) == len(names)


def test_every_operation_and_callback_has_a_tag_and_a_security_scheme(document: dict):
    operations = [
        operation
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    callbacks = [
        operation
        for given in operations
        for callback in given.get("callbacks", {}).values()
        for item in callback.values()
        for operation in item.values()
    ]
    assert {tag for operation in operations for tag in operation["tags"]} == {
        tag["name"] for tag in document["tags"]
    }
    assert callbacks
    schemes = document["components"]["securitySchemes"]
    for operation in (*operations, *callbacks):
        assert {name for choice in operation["security"] for name in choice} <= schemes.keys()
    assert all(operation["security"] for operation in callbacks)


def test_a_route_without_a_description_is_refused_at_the_start():
    app = Flask("app", static_folder=None)
    app.add_url_rule("/secret", "secret", lambda: "")
    with pytest.raises(LookupError, match="/secret is not described"):
        openapi_of(app, "")


@pytest.mark.parametrize(
    ("path", "status", "key"),
    [
        ("/v1/jobs", 200, None),
        ("/v1/jobs/{id}", 200, None),
        ("/v1/jobs/{id}/result", 200, None),
        ("/v1/jobs/{id}/deliveries", 200, None),
        ("/v1/webhook", 200, None),
        ("/v1/jobs/job_nobody", 404, None),
        ("/v1/jobs", 401, "wrong"),
        ("/v1/jobs?limit=0", 400, None),
        ("/health/ready", 200, ""),
    ],
)
def test_answers_are_valid_by_their_schemas(
    api: Api,
    document: dict,
    succeeded: Job,
    path: str,
    status: int,
    key: str | None,
):
    answer = api.request("GET", path.replace("{id}", succeeded.id), key=key)
    assert answer.status == status
    template = path.partition("?")[0].replace("{id}", "{job_id}").replace("job_nobody", "{job_id}")
    response = document["paths"][template]["get"]["responses"][str(status)]
    schema = response["content"][answer.headers["Content-Type"]]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


def examples(document: dict) -> dict[str, tuple[dict, dict]]:
    """Return each example of the document with its schema, by the name of the schema or event."""
    schemas = document["components"]["schemas"]
    found = {
        name: (schema["examples"][0], schema) for name, schema in schemas.items() if "examples" in schema
    }
    for event, item in document["webhooks"].items():
        (body,) = item["post"]["requestBody"]["content"].values()
        found[event] = body["example"], body["schema"]
    return found


def test_every_example_is_valid_by_its_schema(document: dict):
    found = examples(document)
    assert found.keys() == {"Job", "Study", "Problem", *EVENTS}
    for example, schema in found.values():
        whole = {**schema, "components": document["components"]}
        jsonschema.Draft202012Validator(
            whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        ).validate(example)


def test_every_event_is_a_webhook_with_its_headers_and_example(document: dict):
    assert list(document["webhooks"]) == list(EVENTS)
    for event, item in document["webhooks"].items():
        operation = item["post"]
        headers = {parameter["name"] for parameter in operation["parameters"]}
        assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature"}
        (content,) = operation["requestBody"]["content"].values()
        example = content["example"]
        state = {"reading.overdue": "requested", TARGETS_EVENT: "advisory"}.get(
            event, event.partition(".")[2]
        )
        assert (example["type"], example["data"]["state"]) == (event, state)


def test_an_example_has_every_member_of_a_real_answer(api: Api, document: dict, succeeded: Job):
    answer = api.request("GET", f"/v1/jobs/{succeeded.id}").json()
    example, _ = examples(document)["Job"]
    assert example.keys() == answer.keys()
    assert example["links"].keys() == answer["links"].keys()
    assert example["id"].partition("_")[0] == "job"
    assert is_id("job", example["id"])


def test_every_format_that_is_read_is_named_in_answers():
    assert set(get_args(get_type_hints(Image)["format"])) == MEDIA_TYPE.keys()


def test_a_type_becomes_its_schema():
    class Inner(TypedDict):
        """The inner one."""

        state: State
        note: Annotated[str | None, "Or nothing."]

    class Outer(TypedDict):
        parts: NotRequired[list[Inner]]
        kind: Literal["a", "b"]
        either: Inner | None

    named: dict = {}
    outer = object_schema(Annotated[Outer, CLOSED], named)
    inner = {"$ref": "#/components/schemas/Inner"}
    assert outer == {
        "type": "object",
        "required": ["kind", "either"],
        "properties": {
            "parts": {"type": "array", "items": inner},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "either": {"oneOf": [inner, {"type": "null"}]},
        },
        "additionalProperties": False,
    }
    assert named["Inner"]["description"] == "The inner one."
    assert named["Inner"]["properties"]["note"] == {"type": ["string", "null"], "description": "Or nothing."}
    assert named["State"]["enum"] == list(State)


def test_a_type_that_json_lacks_and_a_second_type_of_a_name_are_refused():
    with pytest.raises(TypeError, match="no JSON Schema"):
        schema_of(set, {})
    with pytest.raises(TypeError, match="two types are named Model"):
        schema_of(TypedDict("Model", {"x": int}), {"Model": {"type": "object"}})


class References(HTMLParser):
    """The addresses, tags and event handlers of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.tags: set[str] = set()
        self.handlers: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found |= {value or "" for name, value in attrs if name in ("href", "src", "action", "data")}
        self.handlers |= {name for name, _ in attrs if name.startswith("on") or name == "style"}


def test_the_page_shows_every_route_and_refers_to_no_other_host(api: Api, document: dict):
    answer = api.request("GET", "/docs", key="")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = answer.data.decode()
    assert all(path in page for path in document["paths"])
    seen = References(page)
    assert not seen.handlers
    assert not {"script", "iframe", "img", "object", "embed", "form", "style", "base"} & seen.tags
    assert {reference[0] for reference in seen.found} == {"/", "#"}
    assert not any(reference.startswith("//") for reference in seen.found)
    for address in filter(lambda reference: reference.startswith("/"), seen.found):
        assert api.request("GET", address, key="").status == 200, address
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert {reference[1:] for reference in seen.found if reference.startswith("#")} <= anchors
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "url(" not in api.request("GET", "/docs/page.css", key="").data.decode()


@pytest.mark.skipif(CHROMIUM is None, reason="THERE IS NO CHROMIUM: /docs WAS NOT OPENED IN A BROWSER")
def test_a_browser_shows_the_page_and_refuses_nothing_of_it(api: Api, tmp_path: Path):
    shown = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            # Of its own it would look for hosts that are none of ours.
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *(f"--user-data-dir={tmp_path}", "--dump-dom", f"{api.url}/docs"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Submit a radiograph" in shown.stdout
    assert "Refused to" not in shown.stderr
