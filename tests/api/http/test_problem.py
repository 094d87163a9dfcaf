"""Tests the types of problems: all are in one table, and each has a page."""

import ast
import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from api.http.problem_kinds import JOB_ERRORS, KINDS, Slug
from tests.api.conftest import ROOT, Api, problem_of
from tests.api.openapi.test_document import References


def calls(folder: str, *names: str) -> Iterator[ast.Call]:
    for module in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if called in names:
                    yield node


def test_every_type_of_problem_is_in_the_table_and_is_raised():
    assert KINDS.keys() == set(Slug)
    raised = {ast.unparse(call.args[0]) for call in calls("api", "Problem")}
    assert len(raised) > 20
    text = "".join(path.read_text() for path in (ROOT / "api").rglob("*.py") if path.stem != "problem_kinds")
    assert [slug for slug in Slug if f"Slug.{slug.name}" not in text] == []


def test_a_status_is_named_only_where_its_type_has_a_second_one():
    for call in calls("api", "Problem"):
        for keyword in call.keywords:
            if keyword.arg == "status" and isinstance(keyword.value, ast.Attribute):
                slug = Slug[ast.unparse(call.args[0]).removeprefix("Slug.")]
                assert HTTPStatus[keyword.value.attr] == KINDS[slug].also, slug


def test_every_error_that_a_job_ends_with_stands_in_the_table():
    named = {
        argument.value
        for folder in ("jobs", "worker")
        for call in calls(folder, "failed", "after_lost_attempt")
        for argument in call.args[:3]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    assert named >= {"not-a-radiograph", "internal-error"}
    assert named <= JOB_ERRORS.keys()


def test_the_type_of_a_problem_leads_to_its_page(api: Api):
    problem = problem_of(api.request("GET", "/v1/jobs/job_nobody"))
    told = api.request("GET", problem["type"], key="").json()
    assert told["type"] == problem["type"]
    assert told["status"] == 404
    assert "key" in told["remedy"]


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "text/html"])
def test_a_browser_is_shown_a_page_that_refers_to_no_other_host(api: Api, accept: str):
    for path in ("/problems", "/problems/not-ready"):
        answer = api.request("GET", path, key="", headers={"Accept": accept})
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Accept" in answer.headers["Vary"]
        seen = References(answer.data.decode())
        assert {reference[0] for reference in seen.found} == {"/"}
        assert "script" not in seen.tags


def test_all_types_are_listed_and_an_unknown_one_is_404(api: Api):
    listed = json.loads(api.request("GET", "/problems", key="").data)["types"]
    assert {told["type"] for told in listed} == {f"/problems/{name}" for name in KINDS | JOB_ERRORS}
    for path in ("/problems/no-such", "/problems/..%2Fkeys"):
        assert api.request("GET", path, key="").status == 404


def test_what_flask_refuses_has_a_type_of_the_table(api: Api):
    for method, path in (("PUT", "/v1/jobs"), ("GET", "/nowhere"), ("TRACE", "/v1/jobs")):
        name = problem_of(api.request(method, path))["type"].removeprefix("/problems/")
        assert name in KINDS
