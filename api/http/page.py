"""A page for a browser: no script at all, a style sheet of our own, nothing from elsewhere."""

from flask import Response

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(html: str) -> Response:
    """A page for a browser, that can load and run nothing but our style sheet."""
    headers = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
    return Response(html, content_type="text/html; charset=utf-8", headers=headers)
