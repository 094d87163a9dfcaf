"""The preview of a radiograph: what the viewer shows first."""

import io

import numpy as np
import pytest
from PIL import Image

from model.decode.image import Limits, decode_values
from model.preview import LONGEST_SIDE, draw_preview
from tests import pictures

ROWS, COLUMNS = np.mgrid[0:1500, 0:2100]
LARGE = ((np.sin(ROWS / 150) * np.cos(COLUMNS / 200) + 1) * 2000).astype(np.uint16)


def preview(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(draw_preview(data, Limits()))) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "L")
        assert not picture.getexif()
        return np.asarray(picture, int)


@pytest.mark.parametrize("name", ["MONOCHROME1", "MONOCHROME2"])
def test_a_large_dicom_image_is_windowed_and_cut_to_1024(name: str):
    file = pictures.dicom(
        np.zeros(LARGE.shape, np.uint8),
        PixelData=LARGE.astype("<u2").tobytes(),
        **{"WindowCenter": 1500, "WindowWidth": 2000, "PhotometricInterpretation": name},
    )
    gray = np.clip((LARGE - 1499.5) / 1999 + 0.5, 0, 1) * 255
    shown = Image.fromarray((255 - gray if name == "MONOCHROME1" else gray).astype(np.uint8))
    wanted = np.asarray(shown.resize((1024, 731), Image.Resampling.LANCZOS), int)
    assert np.abs(preview(file) - wanted).mean() < 2


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(orientation: int):
    exif = Image.Exif()
    exif[274] = orientation
    file = pictures.encoded((LARGE >> 4).astype(np.uint8), "JPEG", quality=95, exif=exif)
    small = decode_values(file, least=LONGEST_SIDE).pixels
    assert LONGEST_SIDE <= max(small.shape) < 2100
    whole = Image.fromarray(decode_values(file).pixels.astype(np.uint8))
    drawn = preview(file)
    assert max(drawn.shape) == LONGEST_SIDE
    wanted = np.asarray(whole.resize(drawn.shape[::-1], Image.Resampling.LANCZOS), int)
    assert np.abs(drawn - wanted).mean() < 2


def test_a_small_picture_keeps_its_size_and_its_grays():
    gray = pictures.gray() // 2 + 40
    assert np.abs(preview(pictures.encoded(gray)) - gray).mean() < 2
