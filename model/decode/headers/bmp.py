"""Reads from a BMP file's header how its pixels are stored."""

from model.errors import UnreadableFormat

_PLAIN, _BITFIELDS, _ALPHA_BITFIELDS = 0, 3, 6
_AT, _SHORTEST = 30, 40
"""Where the compression stands, in headers of so many bytes and more."""


def check_bmp(data: bytes) -> None:
    """Raise UnreadableFormat for compressed pixels: a run of no pixels takes two bytes, and has no limit."""
    if int.from_bytes(data[14:18], "little") < _SHORTEST:
        return
    if int.from_bytes(data[_AT : _AT + 4], "little") not in (_PLAIN, _BITFIELDS, _ALPHA_BITFIELDS):
        raise UnreadableFormat(
            "This service does not read compressed BMP images. Save it as PNG or as an uncompressed BMP."
        )
