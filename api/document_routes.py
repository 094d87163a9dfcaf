"""The API's description of itself: /openapi.json for programs, /docs for people. Registered last of all."""

import json
from importlib.resources import files
from typing import Any

from flask import Flask, Response, render_template

from api.description import Answer, describe, openapi_of

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of every page: no script at all, a style sheet of our own, nothing from elsewhere."""


def document_routes(app: Flask, server: str) -> None:
    """Add these routes to `app`, and describe all that it has. Raises LookupError as openapi_of does."""
    style = (files("api") / "pages" / "page.css").read_bytes()

    @app.get("/openapi.json")
    @describe("openapi", "This description", {200: Answer("It.", dict[str, Any])}, public=True)
    def openapi() -> Response:
        return Response(as_json, content_type="application/json")

    @app.get("/docs")
    @describe("docs", "This description, to be read", {200: Answer("It.", {"text/html": str})}, public=True)
    def docs() -> Response:
        return page(as_page)

    @app.get("/docs/page.css")
    @describe(
        "docsStyle", "The style of pages", {200: Answer("A style sheet.", {"text/css": str})}, public=True
    )
    def docs_style() -> Response:
        return Response(style, content_type="text/css; charset=utf-8")

    document = openapi_of(app, server)
    as_json = json.dumps(document)
    with app.app_context():
        as_page = render_template("docs.html", api=document)


def page(html: str) -> Response:
    """A page for a browser, that can load and run nothing but our style sheet."""
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
    return Response(html, content_type="text/html; charset=utf-8", headers=headers)
