"""The example X-ray and the picture made of it say nothing of a person, and NOTICE cites their source."""

from PIL import Image

from stack.development import EXAMPLE
from stack.part import ROOT

OVERLAY = ROOT / "docs/overlay.png"


def test_the_example_holds_no_metadata_but_its_resolution():
    with Image.open(EXAMPLE) as picture:
        assert not dict(picture.getexif())
        assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}


def test_the_readme_picture_holds_no_metadata_and_is_small():
    with Image.open(OVERLAY) as picture:
        assert not picture.info
    assert OVERLAY.stat().st_size < 300_000


def test_the_notice_cites_the_example():
    notice = (ROOT / "NOTICE").read_text()
    assert str(EXAMPLE.relative_to(ROOT)) in notice
    assert "CC-BY 4.0" in notice
