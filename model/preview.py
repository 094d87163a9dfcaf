"""Makes the small picture that a page shows until it has all pixels."""

import io

from PIL import Image

from model.decode.image import Limits, decode_values

LONGEST_SIDE = 1024
_QUALITY = 85


def draw_preview(data: bytes, limits: Limits) -> bytes:
    """Decode a file and show it through its default window, as JPEG of 8 bits without metadata.

    It has the file's proportions, and up to 1024 pixels on the long side. Raises as
    model.decode.image.decode does.
    """
    picture = Image.fromarray(decode_values(data, limits, LONGEST_SIDE).shown())
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=1.0)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
