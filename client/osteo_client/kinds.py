"""Tells the media type of an image by its first bytes."""

BEGINNINGS = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"II+\0", "image/tiff"),
    (0, b"MM\0+", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (8, b"WEBP", "image/webp"),
    (128, b"DICM", "application/dicom"),
    # Without a preamble a file begins with the length of its meta information.
    (0, b"\2\0\0\0UL", "application/dicom"),
)
"""Offset, bytes and media type."""


def media_type(image: bytes) -> str | None:
    """Return the media type of an image by its first bytes (132 suffice); None for an unknown one."""
    return next((kind for at, mark, kind in BEGINNINGS if image[at:].startswith(mark)), None)
