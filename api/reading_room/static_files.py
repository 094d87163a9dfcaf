"""Serves the style sheets and scripts of the reading room: read once, and cached by browsers for a while."""

from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from api.reading_room.access import without_session

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SECONDS = 300
"""Time for which a browser uses a file without asking; a new version is seen after it."""


def add_static_files(pages: Blueprint) -> None:
    """Add `static/<name>` to the reading room: all files in the folder of this name, open to everyone."""
    folder = Path(str(files("api.reading_room"))) / "static"
    known = {
        path.relative_to(folder).as_posix(): (path.read_bytes(), _TYPES[path.suffix])
        for path in folder.rglob("*")
        if path.suffix in _TYPES
    }

    @pages.get("/static/<path:name>")
    @without_session
    def static_file(name: str) -> Response:
        if name not in known:
            raise NotFound
        body, content_type = known[name]
        response = Response(body, content_type=content_type)
        response.set_etag(sha256(body).hexdigest()[:32])
        response.cache_control.public, response.cache_control.max_age = True, _SECONDS
        return response.make_conditional(request)
