"""Reads multipart forms by python-multipart, into what Flask's requests offer of a form.

Werkzeug's parser compiles patterns for each boundary, which takes longer than reading an image, and a piece
that ends inside the closing boundary adds a carriage return to the file (its issue 3285).
"""

from typing import IO, TYPE_CHECKING, Any

from flask import Request
from werkzeug.datastructures import FileStorage, Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from api.http.multipart_pieces import BoundedParser, pieces_of

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


_CHARSETS = ("us-ascii", "iso-8859-1")
"""Of fields that name another one than UTF-8."""


class MultipartFormParser(FormDataParser):
    """Werkzeug's parser of forms, with another one for multipart forms."""

    def parse(self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None) -> Any:
        """Parse a form as FormDataParser does: a malformed one is empty.

        Raises RequestEntityTooLarge for too many parts, and for fields of too many bytes.
        """
        if mimetype != "multipart/form-data":
            return super().parse(stream, mimetype, content_length, options)
        boundary = (options or {}).get("boundary", "").encode("latin-1", "replace")
        parts = _Parts(self, content_length)
        try:
            parser = BoundedParser(boundary, parts.callbacks())
            for piece in pieces_of(stream, boundary):
                parser.write(piece)
            if not parts.ended:
                raise ValueError("the form ends before its last boundary")
        except ValueError:
            parts = _Parts(self, content_length)
        return stream, self.cls(parts.fields), self.cls(parts.files)


class FormRequest(Request):
    """A request whose form MultipartFormParser reads."""

    form_data_parser_class = MultipartFormParser


class _Parts:
    """Collects the fields and files of a form."""

    def __init__(self, limits: FormDataParser, content_length: int | None) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, FileStorage]] = []
        self.ended = False
        self._limits = limits
        self._content_length = content_length
        self._count = 0
        self._field_bytes = 0
        self._header = [b"", b""]
        self._headers = Headers()
        self._name = ""
        self._filename: str | None = None
        self._field = bytearray()
        self._file: IO[bytes] | None = None

    def callbacks(self) -> "MultipartCallbacks":
        """Return the functions that python-multipart calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._head(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._head(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._keep,
            "on_part_end": self._close,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._limits.max_form_parts is not None and self._count > self._limits.max_form_parts:
            raise RequestEntityTooLarge
        self._headers = Headers()

    def _head(self, which: int, piece: bytes) -> None:
        self._header[which] += piece

    def _end_header(self) -> None:
        name, value = (text.decode("utf-8", "replace") for text in self._header)
        self._headers.add(name, value)
        self._header = [b"", b""]

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get("Content-Disposition", ""))
        if "name" not in options:
            raise ValueError("a part has no name")
        self._name, self._filename = options["name"], options.get("filename")
        self._field, self._file = bytearray(), None
        if self._filename is not None:
            self._file = self._limits.stream_factory(
                total_content_length=self._content_length,
                filename=self._filename,
                content_type=self._headers.get("Content-Type"),
                content_length=None,
            )

    def _keep(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._field_bytes += end - start
        if (most := self._limits.max_form_memory_size) is not None and self._field_bytes > most:
            raise RequestEntityTooLarge
        self._field += data[start:end]

    def _close(self) -> None:
        if self._file is None:
            self.fields.append((self._name, self._field.decode(self._charset(), "replace")))
            return
        self._file.seek(0)
        stored = FileStorage(self._file, self._filename, self._name, headers=self._headers)
        self.files.append((self._name, stored))

    def _charset(self) -> str:
        _, options = parse_options_header(self._headers.get("Content-Type", ""))
        named = options.get("charset", "").lower()
        return named if named in _CHARSETS else "utf-8"

    def _end(self) -> None:
        self.ended = True
