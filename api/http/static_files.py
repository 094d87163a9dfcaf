"""Serves the style sheets and scripts of pages: read once, and cached by browsers for a while."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from flask import request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SECONDS = 300
"""Time for which a browser uses a file without asking; a new version is seen after it."""


class StaticFiles:
    """The files of a folder and those below it. `body_of` reads one as it is served."""

    def __init__(self, folder: Path, body_of: Callable[[Path], bytes] = Path.read_bytes) -> None:
        self._known = {
            path.relative_to(folder).as_posix(): (body_of(path), _TYPES[path.suffix])
            for path in folder.rglob("*")
            if path.suffix in _TYPES
        }

    def answer(self, name: str) -> Response:
        """Answer the current request with the file of this name. Raises NotFound."""
        if name not in self._known:
            raise NotFound
        body, content_type = self._known[name]
        response = Response(body, content_type=content_type)
        response.set_etag(sha256(body).hexdigest()[:32])
        response.cache_control.public, response.cache_control.max_age = True, _SECONDS
        return response.make_conditional(request)
