"""Draws the model's regions as outlines, and its finding, onto the radiograph. No TensorFlow.

No bone that one wants to judge is painted over: lines run outside the boxes, and nothing is in them.
"""

import io
from collections.abc import Iterable
from math import ceil, floor

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.decode.radiograph import Radiograph
from model.prediction import Outline, Outlines, format_probability

LONGEST_SIDE = 1600
_COMPRESSION = 3
"""Of zlib: a third of the time that its default 6 takes, for a twentieth more bytes."""
_DASH, _GAP = 5, 4
"""In widths of the line."""
_FINDINGS = {"fracture": "Fracture", "no_fracture": "No fracture", "indeterminate": "Indeterminate"}
_STRIP, _INK, _FAINT, _FRAME = (18, 20, 23), (236, 238, 240), (150, 156, 163), (255, 205, 90)
Box = tuple[int, int, int, int]
"""Left, top, right and bottom; the last two lie behind it."""


def draw_overlay(radiograph: Radiograph, outlines: Outlines) -> bytes:
    """Draw outlines and a caption onto the X-ray; PNG without metadata.

    It has the X-ray's own size, up to 1600 pixels on the long side, so that it fits over it.
    """
    size = overlay_size(radiograph.width, radiograph.height)
    gray = Image.fromarray(radiograph.pixels)
    whole = gray.size
    if size != whole:
        gray = gray.resize(size, Image.Resampling.LANCZOS)
    picture = gray.convert("RGB")
    unit = max(11, round(max(size) / 48))
    boxes = [_scaled(region.box, whole, size) for region in outlines.regions]
    for region, box in zip(outlines.regions, boxes, strict=True):
        _outline(ImageDraw.Draw(picture), box, max(1, unit // 9), region.solid)
    for box in boxes:
        # Also where the line of one box runs through another.
        picture.paste(gray.crop(box), box[:2])
    for region, box in zip(outlines.regions, boxes, strict=True):
        _label(picture, region, box, boxes, unit)
    _caption(picture, outlines, boxes, unit)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()


def overlay_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height of the overlay of an X-ray of this size."""
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(box: tuple[int, int, int, int], whole: tuple[int, int], size: tuple[int, int]) -> Box:
    # Each side by its own scale: the short one of a narrow picture is rounded by much.
    x, width = (value * size[0] / whole[0] for value in box[::2])
    y, height = (value * size[1] / whole[1] for value in box[1::2])
    return floor(x), floor(y), min(ceil(x + width), size[0]), min(ceil(y + height), size[1])


def _outline(pen: ImageDraw.ImageDraw, box: Box, line: int, solid: bool) -> None:
    """Draw around a box; what lies outside the picture is not drawn."""
    left, top, right, bottom = box[0] - line, box[1] - line, box[2] + line, box[3] + line
    dash, step = (line * _DASH, line * (_DASH + _GAP)) if not solid else (max(right, bottom),) * 2
    for x in range(left, right, step):
        end = min(x + dash, right) - 1
        pen.rectangle((x, top, end, top + line - 1), fill=_FRAME)
        pen.rectangle((x, bottom - line, end, bottom - 1), fill=_FRAME)
    for y in range(top, bottom, step):
        end = min(y + dash, bottom) - 1
        pen.rectangle((left, y, left + line - 1, end), fill=_FRAME)
        pen.rectangle((right - line, y, right - 1, end), fill=_FRAME)


def _label(picture: Image.Image, region: Outline, box: Box, boxes: Iterable[Box], unit: int) -> None:
    """Write the score beside its box: where no box lies, or else inside, at its upper edge."""
    pen, font, line = ImageDraw.Draw(picture), ImageFont.load_default(unit), max(1, unit // 9)
    text = format_probability(region.score)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = round(right - left) + unit // 2, round(bottom - top) + unit // 2
    x, y = box[0] - line, box[1]
    places = (
        *((x, box[1] - line - height), (x, box[3] + line)),
        *((box[2] + line, y), (box[0] - line - width, y)),
    )
    whole = (0, 0, picture.width, picture.height)
    for place in places:
        at = (place[0], place[1], place[0] + width, place[1] + height)
        if _common(at, whole) == width * height and not any(_common(at, other) for other in boxes):
            x, y = place
            break
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=_FRAME)
    pen.text((x + unit // 4 - left, y + unit // 4 - top), text, fill=_STRIP, font=font)


def _common(one: Box, other: Box) -> int:
    """Count the pixels that two boxes have in common."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


def _caption(picture: Image.Image, outlines: Outlines, boxes: list[Box], unit: int) -> None:
    """Write finding and model into the emptiest corner, on a veil that lets anatomy show through."""
    small = round(unit * 0.7)
    lines = (
        (_FINDINGS[outlines.finding], unit, _INK),
        (f"fracture probability {format_probability(outlines.probability)}", round(unit * 0.8), _INK),
        ("AI, not reviewed", round(unit * 0.8), _INK),
        (outlines.model, small, _FAINT),
        ("not for diagnosis", small, _FAINT),
    )
    margin = unit // 2
    fonts = [_fitting(text, size, picture.width - 2 * margin) for text, size, _ in lines]
    width = max(round(font.getlength(line[0])) for font, line in zip(fonts, lines, strict=True)) + 2 * margin
    height = sum(round(font.size * 1.3) for font in fonts) + 2 * margin
    x, y = _emptiest_corner(picture, boxes, min(width, picture.width), min(height, picture.height))
    veil = Image.new("RGBA", picture.size)
    ImageDraw.Draw(veil).rectangle((x, y, x + width - 1, y + height - 1), fill=(*_STRIP, 170))
    picture.paste(veil, mask=veil)
    pen, y = ImageDraw.Draw(picture), y + margin
    for (text, _, ink), font in zip(lines, fonts, strict=True):
        pen.text((x + margin, y), text, fill=ink, font=font)
        y += round(font.size * 1.3)


def _emptiest_corner(picture: Image.Image, boxes: list[Box], width: int, height: int) -> tuple[int, int]:
    """Find the corner whose `width` x `height` pixels hold least of boxes, and are darkest and evenest."""
    gray = np.asarray(picture.convert("L"), np.float32)
    right, bottom = picture.width - width, picture.height - height
    corners = [(0, bottom), (right, bottom), (0, 0), (right, 0)]

    def content(corner: tuple[int, int]) -> tuple[int, float]:
        x, y = corner
        part = gray[y : y + height, x : x + width]
        covered = sum(_common((x, y, x + width, y + height), box) for box in boxes)
        return covered, float(part.mean() + 2 * part.std())

    return min(corners, key=content)


def _fitting(text: str, size: int, width: int) -> ImageFont.FreeTypeFont:
    """Take the largest font up to `size` in which `text` fits into `width`."""
    longest = ImageFont.load_default(size).getlength(text)
    font = ImageFont.load_default(max(5, min(size, int(size * width / longest))))
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels carry FreeType
    return font
