"""Tests a submission whose body was dropped because a store was away, which is back a moment later."""

from dataclasses import replace

from flask import Flask

from api.app import from_environment
from jobs.record.errors import StoreUnavailable
from tests import pictures
from tests.api.conftest import problem_of, serving

PNG = pictures.encoded(pictures.gray())


def api() -> Flask:
    """Make the API, with a store that is away while the server asks who sends a body, and only then."""
    app = from_environment()

    def check(_: object) -> str:
        raise StoreUnavailable("the object store does not answer")

    app.extensions["body_limits"] = replace(app.extensions["body_limits"], check=check)
    return app


def test_a_body_that_was_dropped_for_a_store_is_asked_for_again(servers, tmp_path):
    with serving(servers, tmp_path, f"{__name__}:api()") as (served, _):
        for answer in (served.submit(PNG), served.request("POST", "/v1/jobs", body=PNG)):
            assert answer.status == 503, answer.data
            assert problem_of(answer)["type"] == "/problems/part-down"
            assert answer.headers["Retry-After"]
        assert served.request("GET", "/v1/jobs").status == 200
