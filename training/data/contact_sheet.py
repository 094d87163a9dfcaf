"""Draws a sample of X-rays side by side, so that people see what a part, or a set of mistakes, shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.decode.image import decode
from model.letterbox import Letterbox, to_square
from training.data.manifest import ManifestRow

_TILE, _CAPTION, _COLUMNS, _MOST = 112, 14, 10, 60
_RED, _GREEN = (230, 60, 50), (90, 190, 90)


def draw_contact_sheet(run: Path, entries: Sequence[ManifestRow], seed: int) -> Image.Image:
    """Show up to 60 of the entries, drawn at random: fractured ones first, red, with the fractures boxed."""
    chosen = np.random.default_rng(seed).permutation(len(entries))[:_MOST]
    shown = sorted((entries[i] for i in chosen), key=lambda entry: not entry.fractured)
    return draw_tiles([(run / entry.image, entry, entry.region) for entry in shown])


def draw_tiles(tiles: Sequence[tuple[Path, ManifestRow, str]]) -> Image.Image:
    """Lay out images, ten a row, each over its caption."""
    rows = max(1, -(-len(tiles) // _COLUMNS))
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * (_TILE + _CAPTION)), (24, 24, 24))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for place, (path, entry, caption) in enumerate(tiles):
        x, y = place % _COLUMNS * _TILE, place // _COLUMNS * (_TILE + _CAPTION)
        radiograph = decode(path.read_bytes())
        side, field = _TILE - 4, radiograph.exposed_field
        sheet.paste(Image.fromarray(to_square(radiograph.pixels, side, field)), (x + 2, y + 2))
        box_of = Letterbox.of_field(field, side)
        for box in entry.boxes:
            left, top, width, height = box_of.into(box)
            pen.rectangle(
                (x + 2 + left, y + 2 + top, x + 2 + left + width, y + 2 + top + height), outline=_RED
            )
        colour = _RED if entry.fractured else _GREEN
        pen.rectangle((x, y, x + _TILE - 2, y + _TILE - 2), outline=colour)
        pen.text((x + 3, y + _TILE), caption, fill=colour, font=font)
    return sheet
