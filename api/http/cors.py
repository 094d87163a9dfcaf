"""Lets pages of other origins use the API: only of the origins that the operator names."""

from flask import Flask, Response, request

SENT = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, If-Range, Last-Event-ID, Prefer, Range,"
    " X-Request-ID, traceparent"
)
SHOWN = (
    "Accept-Ranges, Content-Range, ETag, Idempotency-Expires, Idempotency-Replayed, Link, Location,"
    " Osteo-Pixels, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
)
_PREFLIGHT_SECONDS = 600


def allow_origins(app: Flask, origins: frozenset[str]) -> None:
    """Let pages of these origins use the API. They need a key as well: cookies are not for them."""
    if not origins:
        return

    @app.before_request
    def preflight() -> Response | None:
        # A browser sends the preflight request without the key.
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return app.make_default_options_response() if asked else None

    @app.after_request
    def allow(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = SHOWN
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(response.allow))
                response.headers["Access-Control-Allow-Headers"] = SENT
                response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
        return response
