"""Answers with a page for a browser: without scripts, and with nothing from other hosts."""

from flask import Response

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(html: str) -> Response:
    """Make the answer of a page that can load nothing but the style sheet of this service."""
    headers = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
    return Response(html, content_type="text/html; charset=utf-8", headers=headers)
