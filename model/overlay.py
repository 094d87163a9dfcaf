"""Draws the model's heat, regions and finding onto the radiograph. No TensorFlow."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.decode.image import Radiograph
from model.letterbox import Letterbox
from model.network import STRIDE
from model.prediction import Prediction, format_probability
from model.regions import spread_heat

LONGEST_SIDE = 1600
_COMPRESSION = 3
"""Of zlib: a third of the time that its default 6 takes, for a twentieth more bytes."""
_MOST_OPAQUE = 0.45
_SHOWN_FROM = 0.15
_FINDINGS = {"fracture": "Fracture", "no_fracture": "No fracture", "indeterminate": "Indeterminate"}
_STRIP, _INK, _FAINT, _FRAME = (18, 20, 23), (236, 238, 240), (150, 156, 163), (255, 205, 90)
# Dark red to pale yellow; blue and green are left out, as they read as "cold" and hide gray detail.
_WARM = np.array([[150, 10, 20], [225, 60, 20], [250, 140, 30], [255, 220, 110]], np.float32)


def draw_overlay(radiograph: Radiograph, prediction: Prediction) -> bytes:
    """Draw heat, regions and a caption onto the X-ray; PNG without metadata.

    It has the X-ray's own size, up to 1600 pixels on the long side, so that it fits over it.
    """
    scale = min(1.0, LONGEST_SIDE / max(radiograph.width, radiograph.height))
    size = (max(1, round(radiograph.width * scale)), max(1, round(radiograph.height * scale)))
    gray = Image.fromarray(radiograph.pixels)
    if scale < 1:
        gray = gray.resize(size, Image.Resampling.LANCZOS)
    picture = gray.convert("RGB")
    if prediction.finding != "no_fracture":
        x, y, width, height = prediction.field
        place = Letterbox.of(width, height, len(prediction.cells) * STRIDE)
        left, top = round(x * scale), round(y * scale)
        right = max(left + 1, round((x + width) * scale))
        bottom = max(top + 1, round((y + height) * scale))
        field = (left, top, min(right, size[0]), min(bottom, size[1]))
        _warm(picture, gray, spread_heat(prediction.cells, place), field)
    unit = max(11, round(max(size) / 48))
    _frame_regions(picture, prediction, scale, unit)
    _caption(picture, prediction, unit)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()


def _warm(
    picture: Image.Image, gray: Image.Image, heat: np.ndarray, field: tuple[int, int, int, int]
) -> None:
    """Tint where the heat is, which lies over `field`, left, top, right and bottom of the picture.

    Cooler pixels stay as they were, and bone shows through.
    """
    gray = gray.crop(field)
    heat = np.asarray(Image.fromarray(heat).resize(gray.size, Image.Resampling.BICUBIC))
    peak = max(float(heat.max()), 1e-6)
    strength = np.clip((heat / peak - _SHOWN_FROM) / (1 - _SHOWN_FROM), 0, 1)
    box = Image.fromarray(strength > 0).getbbox()
    if box is None:
        return
    left, top, right, bottom = box
    strength = strength[top:bottom, left:right]
    base = np.asarray(gray, np.float32)[top:bottom, left:right, None]
    place = strength * (len(_WARM) - 1)
    below = np.minimum(place.astype(int), len(_WARM) - 2)
    share = (place - below)[..., None]
    colour = _WARM[below] * (1 - share) + _WARM[below + 1] * share
    # A peak that the model itself gives little weight is tinted as faintly.
    opacity = (_MOST_OPAQUE * min(1.0, 0.35 + peak) * strength**0.8)[..., None]
    # Screened rather than pasted: dark lines in bone, which is what a fracture is, stay dark.
    screened = 255 - (255 - base) * (255 - colour) / 255
    tinted = base * (1 - opacity) + (0.5 * screened + 0.5 * base * colour / 255) * opacity
    warm = Image.fromarray(np.round(np.clip(tinted, 0, 255)).astype(np.uint8))
    picture.paste(warm, (field[0] + left, field[1] + top))


def _frame_regions(picture: Image.Image, prediction: Prediction, scale: float, unit: int) -> None:
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(unit)
    line = max(1, unit // 9)
    for region in prediction.regions:
        x, y, w, h = (value * scale for value in region.box)
        right, bottom = min(x + w, picture.width) - 1, min(y + h, picture.height) - 1
        pen.rectangle((x, y, right, bottom), outline=_FRAME, width=line)
        label = format_probability(region.score)
        left, top, label_right, label_bottom = pen.textbbox((0, 0), label, font=font)
        text_width, text_height = label_right - left + unit // 2, label_bottom - top + unit // 2
        # Above the box where there is room, else inside it.
        text_y = y - text_height if y >= text_height else y
        pen.rectangle((x, text_y, x + text_width, text_y + text_height), fill=_FRAME)
        pen.text((x + unit // 4 - left, text_y + unit // 4 - top), label, fill=_STRIP, font=font)


def _caption(picture: Image.Image, prediction: Prediction, unit: int) -> None:
    """Write finding and model into the emptiest corner, on a veil that lets anatomy show through."""
    lines = (
        (_FINDINGS[prediction.finding], unit, _INK),
        (f"fracture probability {format_probability(prediction.probability)}", round(unit * 0.8), _INK),
        (prediction.model, round(unit * 0.7), _FAINT),
        ("not for diagnosis", round(unit * 0.7), _FAINT),
    )
    margin = unit // 2
    fonts = [_fitting(text, size, picture.width - 2 * margin) for text, size, _ in lines]
    width = max(round(font.getlength(line[0])) for font, line in zip(fonts, lines, strict=True)) + 2 * margin
    height = sum(round(font.size * 1.3) for font in fonts) + 2 * margin
    x, y = _emptiest_corner(picture, min(width, picture.width), min(height, picture.height))
    veil = Image.new("RGBA", picture.size)
    ImageDraw.Draw(veil).rectangle((x, y, x + width - 1, y + height - 1), fill=(*_STRIP, 170))
    picture.paste(veil, mask=veil)
    pen, y = ImageDraw.Draw(picture), y + margin
    for (text, _, ink), font in zip(lines, fonts, strict=True):
        pen.text((x + margin, y), text, fill=ink, font=font)
        y += round(font.size * 1.3)


def _emptiest_corner(picture: Image.Image, width: int, height: int) -> tuple[int, int]:
    """Find the corner whose `width` x `height` pixels are darkest and evenest; its left and top."""
    gray = np.asarray(picture.convert("L"), np.float32)
    right, bottom = picture.width - width, picture.height - height
    corners = [(0, bottom), (right, bottom), (0, 0), (right, 0)]

    def content(corner: tuple[int, int]) -> float:
        x, y = corner
        part = gray[y : y + height, x : x + width]
        return float(part.mean() + 2 * part.std())

    return min(corners, key=content)


def _fitting(text: str, size: int, width: int) -> ImageFont.FreeTypeFont:
    """Take the largest font up to `size` in which `text` fits into `width`."""
    longest = ImageFont.load_default(size).getlength(text)
    font = ImageFont.load_default(max(5, min(size, int(size * width / longest))))
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels carry FreeType
    return font
