"""Serves the style sheets and scripts of the reading room, these without comments."""

import re
from importlib.resources import files
from pathlib import Path

from flask import Blueprint
from werkzeug.wrappers import Response

from api.http.static_files import StaticFiles
from api.reading_room.access import without_session
from api.reading_room.page import room

_TOKEN = re.compile(
    r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"""  # a text, which stays
    r"|((?:[ \t]*//[^\n]*|/\*.*?\*/|\s*\n\s*)+)"  # comments, and the end of a line
    r"|;\s*(?=\})"  # the end of the last statement of a block
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
        return found[1] or found[3] or found[4] or ("\n" if "\n" in (found[2] or "") else "")

    return _TOKEN.sub(kept, path.read_text(encoding="utf-8")).lstrip().encode()


def add_static_files(pages: Blueprint) -> None:
    """Add `static/<name>` to the reading room: all files in the folder of this name, open to everyone."""
    static = StaticFiles(Path(str(files("api.reading_room"))) / "static", body_of)

    @pages.get("/static/<path:name>")
    @without_session
    def static_file(name: str) -> Response:
        response = static.answer(name)
        # The worker for push is for all pages of the reading room, not only for this folder.
        response.headers["Service-Worker-Allowed"] = room()
        return response
