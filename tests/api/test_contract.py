"""docs/http.md says what the code says: fields of answers, routes, events, limits, headers and problems."""

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import pytest

from api.ar.registration_routes import MOST_PIXELS
from api.http.problem_kinds import JOB_ERRORS, KINDS, Kind
from api.http.threads import WAITING_OF_ONE
from api.intake.fields import MOST_QUESTION, SubmissionFields
from api.openapi.json_body import MOST_BYTES
from api.openapi.parameters import HEADERS
from api.results.pixels import AT_ONCE_OF_ONE
from api.routes.job_list import MOST_A_PAGE
from api.routes.waiting import LONGEST
from jobs.reading.policy import ReadingPolicy
from jobs.record.events import EVENTS, JOB_EVENTS, STUDY_EVENTS
from jobs.record.states import SEEN, Delivery
from jobs.record.study import MOST_IMAGES
from jobs.settings import Settings
from tests.api.conftest import ROOT, Api

PAGE = (ROOT / "docs/http.md").read_text()
EXAMPLE = re.compile(r"<!-- (\w+) -->\n```json\n(.*?)```", re.DOTALL)
EXAMPLES = [(name, json.loads(text)) for name, text in EXAMPLE.findall(PAGE)]


def longest(field: str) -> int:
    """The most characters of a field of a submission."""
    (bounds,) = [
        beside
        for beside in get_type_hints(SubmissionFields, include_extras=True)[field].__metadata__
        if isinstance(beside, dict)
    ]
    return int(bounds["maxLength"])


UNITS = {
    **{"KiB": 2**10, "MiB": 2**20, "megapixels": 10**6, "s": 1, "minutes": 60, "hour": 3600, "day": 86_400},
    **{"days": 86_400, "bytes a second": 1, "": 1},
}
FIXED = {
    "images of one study": MOST_IMAGES,
    "wait of one request": LONGEST,
    "answers with pixels for one client, made at the same time by one process": AT_ONCE_OF_ONE,
    "requests of one client that wait, in one process": WAITING_OF_ONE,
    "pixels of a photograph of a marker": MOST_PIXELS,
    "characters of `question`": MOST_QUESTION,
    "characters of `reference`": longest("reference"),
    "characters of `metadata`": longest("metadata"),
    "jobs of one page": MOST_A_PAGE,
    "bytes of a JSON body": MOST_BYTES,
}
"""The limits that no setting changes."""
CHANGED = {
    "python -m admin.reading_policy CLIENT --open": ReadingPolicy().most_open,
    **{f.metadata["env"]: f.default for f in fields(Settings) if f.default is not MISSING},
}


@pytest.fixture(scope="module")
def document(served: Api) -> dict[str, Any]:
    return dict(served.request("GET", "/openapi.json", key="").json())


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the tables of one section, without their heads."""
    section = PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0]
    table: list[str] = []
    for line in [*section.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        else:
            yield from ([cell.strip() for cell in row.strip("|").split("|")] for row in table[2:])
            table = []


def closed(schema: Any) -> Any:
    """The schema with no members but those that it names."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: closed(value) for name, value in schema.items()}
    return told | {"additionalProperties": False} if "properties" in schema else told


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_each_answer_shown_has_the_fields_of_its_type(document: dict[str, Any], name: str, example: Any):
    components = closed(document["components"])
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    jsonschema.Draft202012Validator(schema).validate(example)


def test_every_kind_of_answer_is_shown():
    shown = {name for name, _ in EXAMPLES}
    assert shown >= {"Job", "Result", "Study", "Upload", "Probe", "Deliveries", "Problem", "Event"}
    assert {job["state"] for name, job in EXAMPLES if name == "Job"} == {"queued", "succeeded", "failed"}


def test_every_route_stands_in_the_page(document: dict[str, Any]):
    told = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`\s?]*)`", PAGE)
    named = {(method, re.sub(r"{\w+}", "{}", path)) for method, path in told}
    exist = {
        (method.upper(), re.sub(r"{\w+}", "{}", path))
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    assert named >= exist - {("GET", "/"), ("GET", "/docs/page.css")}
    assert named <= exist


def test_every_field_of_a_submission_stands_in_its_table():
    named = {name.strip("`") for name, _ in rows("## Submit an X-ray")}
    assert named == {*SubmissionFields.__annotations__, "image", "upload_id"}


def test_every_state_and_delivery_and_error_of_a_job_stands_in_its_tables():
    named = {row[0].strip("`") for row in rows("## A job")}
    assert named == {*SEEN, *Delivery, *JOB_ERRORS}


def test_the_catalogue_has_every_event():
    assert {row[0].strip("`") for row in rows("## Callbacks")} == {*EVENTS, "webhook.test"}
    shown = [example["type"] for name, example in EXAMPLES if name in ("Event", "StudyEvent")]
    assert shown == [*JOB_EVENTS, *STUDY_EVENTS]
    assert [example["type"] for name, example in EXAMPLES if name == "ReadingEvent"] == ["reading.signed"]


@pytest.mark.parametrize("row", [*rows("## Limits")], ids=lambda row: row[0])
def test_each_limit_is_that_of_the_code(row: list[str]):
    what, told, setting, beyond = row
    number, unit = re.fullmatch(r"([\d,]+) ?(.*)", told).groups()  # type: ignore[union-attr]
    is_one = FIXED[what] if setting == "fixed" else CHANGED[setting.strip("`")]
    assert int(number.replace(",", "")) * UNITS[unit] == is_one
    for status, kind in re.findall(r"(\d{3}) `([\w-]+)`", beyond):
        assert kind in KINDS
        assert int(status) in (KINDS[kind].status, KINDS[kind].also, 408)


def test_every_fixed_limit_stands_in_the_table():
    assert {row[0] for row in rows("## Limits") if row[2] == "fixed"} == FIXED.keys()


def test_every_header_stands_in_the_table():
    named = {name for row in rows("## Headers") for name in re.findall(r"`([\w-]+)`", row[0])}
    assert named >= HEADERS.keys()


def test_the_problems_are_those_of_the_code():
    wanted = [problem_row(name, kind) for name, kind in sorted(KINDS.items())]
    told = [" | ".join(row) for row in rows("## Problems")]
    assert told == wanted, "the table has to be:\n" + "\n".join(f"| {row} |" for row in wanted)


def problem_row(name: str, kind: Kind) -> str:
    """What the table of problems says of one type."""
    status = f"{kind.status}, {kind.also}" if kind.also else str(kind.status)
    return f"`{name}` | {status} | {kind.meaning} | {kind.remedy} | {'yes' if kind.passes else ''}"


def test_the_errors_of_jobs_are_those_of_the_code():
    wanted = [f"`{name}` | {kind.meaning} | {kind.remedy}" for name, kind in JOB_ERRORS.items()]
    told = [" | ".join(row) for row in rows("## A job") if row[0].strip("`") in JOB_ERRORS and len(row) == 3]
    assert told == wanted, "the table has to be:\n" + "\n".join(f"| {row} |" for row in wanted)


def test_the_thresholds_are_those_of_the_bundled_model():
    thresholds = json.loads(Path(ROOT / "model/bundle/bundle.json").read_text())["thresholds"]
    low, high = f"{thresholds['low']:.4f}", f"{thresholds['high']:.4f}"
    told = {row[0].strip("`"): row[1] for row in rows("## A result") if len(row) == 3}
    assert told == {
        "no_fracture": f"below {low}",
        "indeterminate": f"from {low}, below {high}",
        "fracture": f"{high} and above",
    }
