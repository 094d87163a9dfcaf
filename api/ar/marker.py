"""Draws the sheet with the marker, to be printed: an AprilTag of stated size, and two ways to check it.

A ruler tells whether the printer has scaled the sheet. A second tag, of the same size on every sheet, tells a
photograph for which size the sheet was drawn.
"""

from collections.abc import Iterator

from jobs.geometry.marker_sheet import (
    CELLS,
    RULER_MM,
    SECOND_LEFT_MM,
    SECOND_MM,
    TEXT_BELOW_MM,
    second_bottom_mm,
)

MEDIA_TYPE = "application/pdf"
SMALLEST_MM, LARGEST_MM, USUAL_MM = 20, 150, 50
"""Sides of the black square; the largest fits A4 with the white border that a detector needs."""
MARKER_ID, SECOND_ID = 7, 8
_PATTERNS = {
    MARKER_ID: ("000100", "000110", "010100", "101110", "000111", "010100"),
    SECOND_ID: ("001000", "101011", "000111", "011111", "111010", "101101"),
}
"""Tags of the family tag36h11: the white cells within the black border, which is one cell wide."""
_PAGE_MM = (210, 297)
_POINTS = 72 / 25.4
_LEFT = 30
_LINES = (
    "Print at 100 % (actual size). The ruler is 100 mm long: measure it.",
    "Do not use a print on which it is shorter or longer by more than 1 mm.",
    "Mount it flat. Leave the white border around both tags free.",
    "Not for diagnosis. Not for guiding a hand or a machine.",
)


def marker_sheet(size_mm: float) -> bytes:
    """Draw the sheet as PDF, of A4. `size_mm` is the side of the black square."""
    content = "\n".join(_drawn(size_mm)).encode("ascii")
    width, height = (side * _POINTS for side in _PAGE_MM)
    return _document(
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >>"
        + f" /MediaBox [0 0 {width:.3f} {height:.3f}] >>".encode(),
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    )


def _document(*objects: bytes) -> bytes:
    """Put the objects of a PDF into a file; the first one is its catalog."""
    file, places = bytearray(b"%PDF-1.6\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return bytes(file + b"startxref\n%d\n%%%%EOF\n" % table)


def _drawn(size_mm: float) -> Iterator[str]:
    """Draw in millimetres, from the lower left corner of the page."""
    border = size_mm / CELLS
    bottom = _PAGE_MM[1] - 25 - size_mm - border
    middle = _PAGE_MM[0] / 2
    yield f"{_POINTS:.9f} 0 0 {_POINTS:.9f} 0 0 cm"
    yield from _tag(MARKER_ID, middle - size_mm / 2, bottom, size_mm)
    second_bottom = bottom + size_mm / 2 + second_bottom_mm(size_mm)
    yield from _tag(SECOND_ID, middle + SECOND_LEFT_MM, second_bottom, SECOND_MM)
    y = bottom - border - TEXT_BELOW_MM
    yield from _text(_LEFT, y, 6, "AprilTag, family tag36h11, number seven (id 7)")
    yield from _text(_LEFT, y - 8, 6, f"Side of the black square: {size_mm:g} mm")
    yield from _ruler(y - 24)
    for number, line in enumerate(_LINES):
        yield from _text(_LEFT, y - 42 - 7 * number, 4.5, line)


def _tag(number: int, left: float, bottom: float, size_mm: float) -> Iterator[str]:
    cell = size_mm / CELLS
    yield f"0 g {left:.4f} {bottom:.4f} {size_mm:.4f} {size_mm:.4f} re f"
    for row, cells in enumerate(_PATTERNS[number], start=1):
        for column, bit in enumerate(cells, start=1):
            if bit == "1":
                x, y = left + column * cell, bottom + (CELLS - 1 - row) * cell
                yield f"1 g {x:.4f} {y:.4f} {cell:.4f} {cell:.4f} re f"


def _ruler(y: float) -> Iterator[str]:
    """Draw a ruler from its first tick to its last, both included, with a tick for each millimetre."""
    yield f"0 G 0 g 0.2 w {_LEFT} {y:.4f} {RULER_MM} 0.4 re f"
    for millimetre in range(RULER_MM + 1):
        length = 5 if millimetre % 10 == 0 else 2.5
        # The outer edges of the first and last tick are the ends.
        x = min(max(_LEFT + millimetre - 0.1, _LEFT), _LEFT + RULER_MM - 0.2)
        yield f"{x:.4f} {y:.4f} 0.2 {length} re f"
    for millimetre in (0, 50, 100):
        yield from _text(_LEFT + millimetre, y - 5, 4, f"{millimetre} mm")


def _text(x: float, y: float, size: float, text: str) -> Iterator[str]:
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    yield f"0 g BT /F {size:g} Tf {x:.4f} {y:.4f} Td ({escaped}) Tj ET"
