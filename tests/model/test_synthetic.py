import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from model.synthetic import draw_forearm


def test_a_seed_is_always_the_same_picture_and_another_seed_another():
    assert np.array_equal(draw_forearm(3).pixels, draw_forearm(3).pixels)
    assert not np.array_equal(draw_forearm(3).pixels, draw_forearm(4).pixels)


def test_the_box_holds_the_break():
    broken, intact = draw_forearm(3), draw_forearm(3, fracture=False)
    assert intact.fracture is None
    assert broken.fracture
    x, y, w, h = broken.fracture
    different = np.abs(broken.pixels.astype(int) - intact.pixels) > 60
    assert different.any()
    rows = np.nonzero(different)[0]
    assert y < np.median(rows[rows > y - 5]) < broken.pixels.shape[0]
    assert 0 <= x < x + w <= 540
    assert 0 <= y < y + h <= 720


def test_the_command_writes_a_picture(tmp_path: Path):
    subprocess.run([sys.executable, "-m", "model.synthetic", str(tmp_path / "a.png"), "5"], check=True)
    with Image.open(tmp_path / "a.png") as picture:
        assert np.array_equal(np.asarray(picture), draw_forearm(5).pixels)
