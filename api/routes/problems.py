"""Serves the pages of the types of problems, as HTML and as JSON: what each means, and what to do."""

from typing import Annotated, TypedDict

from flask import Blueprint, Response, jsonify, render_template, request

from api.http.page import page
from api.http.problem import Problem, problem_type
from api.http.problem_kinds import JOB_ERRORS, KINDS, Kind, Slug
from api.openapi.describe import Answer, describe


class ProblemType(TypedDict):
    """One type of problem, or of a job's `error`."""

    type: Annotated[str, {"format": "uri-reference"}]
    status: int
    meaning: str
    remedy: str


class ProblemTypes(TypedDict):
    """All types of problems."""

    types: list[ProblemType]


ALL = dict(sorted((JOB_ERRORS | KINDS).items()))


def problem_routes() -> Blueprint:
    """Make the blueprint of /problems."""
    routes = Blueprint("problems", __name__, url_prefix="/problems")

    @routes.get("")
    @describe(
        "listProblems",
        "List the types of problems",
        {200: Answer("All types of problems.", {"application/json": ProblemTypes, "text/html": str})},
        public=True,
    )
    def all_types() -> Response:
        return _page(ALL) if _html() else jsonify(types=[_document(*item) for item in ALL.items()])

    @routes.get("/<problem>")
    @describe(
        "getProblem",
        "Get the meaning and the remedy of a type of problem",
        {200: Answer("The type of problem.", {"application/json": ProblemType, "text/html": str})},
        (Slug.NOT_FOUND,),
        public=True,
    )
    def one_type(problem: str) -> Response:
        if problem not in ALL:
            raise Problem(Slug.NOT_FOUND, "There is no such type of problem. /problems lists them all.")
        return _page({problem: ALL[problem]}) if _html() else jsonify(_document(problem, ALL[problem]))

    @routes.after_request
    def vary(response: Response) -> Response:
        response.vary.add("Accept")
        return response

    return routes


def _html() -> bool:
    # Browsers name HTML. A client that accepts anything gets JSON.
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _document(name: str, kind: Kind) -> ProblemType:
    return {
        "type": problem_type(name),
        "status": kind.status,
        "meaning": kind.meaning,
        "remedy": kind.remedy,
    }


def _page(kinds: dict[str, Kind]) -> Response:
    return page(render_template("problems.html", kinds=kinds, job_errors=JOB_ERRORS))
