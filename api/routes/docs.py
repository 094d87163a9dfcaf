"""Serves the description of the API: /openapi.json and /asyncapi.json for programs, /docs for people.

Registered last.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from flask import Flask, Response, render_template

from api.http.page import page
from api.openapi.asyncapi import asyncapi_of
from api.openapi.describe import Answer, describe
from api.openapi.document import openapi_of
from api.openapi.json_body import check_json_bodies


def document_routes(app: Flask, server: str) -> None:
    """Add these routes to `app`, describe all its routes, and validate JSON bodies by that description.

    Raises LookupError as openapi_of does.
    """
    style = (files("api.openapi") / "pages" / "page.css").read_bytes()

    @app.get("/openapi.json")
    @describe(
        "openapi",
        "The API as an OpenAPI document",
        {200: Answer("The OpenAPI 3.1 document.", dict[str, Any])},
        public=True,
    )
    def openapi() -> Response:
        return Response(as_json(), content_type="application/json")

    @app.get("/asyncapi.json")
    @describe(
        "asyncapi",
        "The callbacks as an AsyncAPI document",
        {200: Answer("The AsyncAPI 3.0 document.", dict[str, Any])},
        public=True,
    )
    def asyncapi() -> Response:
        return Response(callbacks_as_json(), content_type="application/json")

    @app.get("/")
    @describe(
        "root",
        "Redirect to /docs",
        {302: Answer("The documentation is at /docs.", headers=("Location",))},
        public=True,
    )
    def root() -> Response:
        return Response(status=302, headers={"Location": "docs"})  # Relative: a proxy may have a prefix.

    @app.get("/docs")
    @describe(
        "docs", "Read this description as a page", {200: Answer("The page.", {"text/html": str})}, public=True
    )
    def docs() -> Response:
        return page(as_page())

    @app.get("/docs/page.css")
    @describe(
        "docsStyle",
        "The style sheet of the pages",
        {200: Answer("The style sheet.", {"text/css": str})},
        public=True,
    )
    def docs_style() -> Response:
        return Response(style, content_type="text/css; charset=utf-8")

    document = openapi_of(app, server)
    check_json_bodies(app, document)

    # Made at the first request, as few processes are asked for them.
    @cache
    def as_json() -> str:
        return json.dumps(document)

    @cache
    def callbacks_as_json() -> str:
        return json.dumps(asyncapi_of(document))

    @cache
    def as_page() -> str:
        return render_template("docs.html", api=document)
