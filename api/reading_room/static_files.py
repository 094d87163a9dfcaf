"""Serves the style sheets and scripts of the reading room: read once, and cached by browsers for a while."""

import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from api.reading_room.access import without_session
from api.reading_room.page import room

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SECONDS = 300
"""Time for which a browser uses a file without asking; a new version is seen after it."""
_TOKEN = re.compile(
    r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"""  # a text, which stays
    r"|((?:[ \t]*//[^\n]*|/\*.*?\*/|\s*\n\s*)+)"  # comments, and the end of a line
    r"|[ \t]*([{(\[,;])\s*"  # a mark behind which no statement ends
    r"|[ \t]*([=<>})\]:?&|*!])[ \t]*",  # a mark that needs no space beside it
    re.DOTALL,
)
"""What a script is served without. A text in backquotes has no other one in it."""


def body_of(path: Path) -> bytes:
    """Read a file as it is served: a script without comments, indentation and the spaces between its marks.

    These are a third of the scripts, whose sum is at most 40 kB.
    """
    if path.suffix != ".js":
        return path.read_bytes()

    def kept(found: re.Match[str]) -> str:
        return found[1] or found[3] or found[4] or ("\n" if "\n" in found[2] else "")

    return _TOKEN.sub(kept, path.read_text(encoding="utf-8")).lstrip().encode()


def add_static_files(pages: Blueprint) -> None:
    """Add `static/<name>` to the reading room: all files in the folder of this name, open to everyone."""
    folder = Path(str(files("api.reading_room"))) / "static"
    known = {
        path.relative_to(folder).as_posix(): (body_of(path), _TYPES[path.suffix])
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
        # The worker for push is for all pages of the reading room, not only for this folder.
        response.headers["Service-Worker-Allowed"] = room()
        response.cache_control.public, response.cache_control.max_age = True, _SECONDS
        return response.make_conditional(request)
