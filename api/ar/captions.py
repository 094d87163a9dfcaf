"""Draws what a scene has to say in writing: the back of its plane, and the text below its ruler."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_BACK_SIDE = 512
"""Pixels of the longer side of the back."""
_PER_MM = 24
"""Pixels of the label for each millimetre."""
_INK, _GROUND = (236, 238, 240), (18, 20, 23)


def draw_back(width: float, height: float) -> bytes:
    """Draw the back of a plane of these proportions, as PNG: it says that it is the back."""
    longer = max(width, height)
    size = max(1, round(_BACK_SIDE * width / longer)), max(1, round(_BACK_SIDE * height / longer))
    return _drawn(("back", "not as the radiograph is read"), size)


def draw_label(lines: Sequence[str], size_mm: tuple[float, float]) -> bytes:
    """Draw lines of text that fill a label of this size, as PNG."""
    return _drawn(lines, (round(size_mm[0] * _PER_MM), round(size_mm[1] * _PER_MM)))


def _drawn(lines: Sequence[str], size: tuple[int, int]) -> bytes:
    picture = Image.new("RGB", size, _GROUND)
    pen, each = ImageDraw.Draw(picture), size[1] / len(lines)
    for number, line in enumerate(lines):
        most = min(each * 0.7, size[0] / 4)
        longest = ImageFont.load_default(100).getlength(line) / 100
        font = ImageFont.load_default(max(1, min(most, size[0] * 0.94 / longest)))
        pen.text((size[0] / 2, each * (number + 0.5)), line, fill=_INK, font=font, anchor="mm")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
