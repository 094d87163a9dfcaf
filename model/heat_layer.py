"""Draws where the model looked as a layer of its own, which a page lays over the radiograph."""

import io

import numpy as np
from PIL import Image

from model.letterbox import Letterbox
from model.network import STRIDE
from model.overlay import overlay_size
from model.regions import spread_heat

_SHOWN_FROM = 0.15
"""Share of the peak below which nothing is drawn."""
# Dark red to pale yellow; blue and green are left out, as they read as "cold" and hide gray detail.
_WARM = np.array([[150, 10, 20], [225, 60, 20], [250, 140, 30], [255, 220, 110]], np.float64)


def draw_heat_layer(cells: np.ndarray, field: tuple[int, int, int, int], size: tuple[int, int]) -> bytes:
    """Draw cells (n, n) in 0..1, which lie over `field` of an X-ray of `size`, as PNG with alpha.

    `field` is x, y, width, height in pixels of the X-ray. The layer has the size of its overlay.
    """
    x, y, width, height = field
    heat = spread_heat(cells, Letterbox.of(width, height, len(cells) * STRIDE))
    drawn = overlay_size(*size)
    across, down = drawn[0] / size[0], drawn[1] / size[1]
    left, top = round(x * across), round(y * down)
    right = min(max(left + 1, round((x + width) * across)), drawn[0])
    bottom = min(max(top + 1, round((y + height) * down)), drawn[1])
    spread = Image.fromarray(heat).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    peak = max(float(heat.max()), 1e-6)
    strength = np.clip((np.asarray(spread) / peak - _SHOWN_FROM) / (1 - _SHOWN_FROM), 0, 1)
    indices = np.zeros(drawn[::-1], np.uint8)
    indices[top:bottom, left:right] = np.round(strength * 255)
    layer = Image.fromarray(indices)
    steps = np.linspace(0, 1, 256)
    colours = [np.interp(steps, np.linspace(0, 1, len(_WARM)), channel) for channel in _WARM.T]
    layer.putpalette(np.round(np.stack(colours, axis=1)).astype(np.uint8).tobytes())
    # A peak that the model itself gives little weight is drawn as faintly.
    alpha = 255 * min(1.0, 0.35 + peak) * steps**0.8
    file = io.BytesIO()
    layer.save(file, "PNG", transparency=np.round(alpha).astype(np.uint8).tobytes())
    return file.getvalue()
