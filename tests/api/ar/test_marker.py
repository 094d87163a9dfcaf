"""`GET /v1/ar/marker.pdf`: what is printed has the size that it states, and a detector finds the marker."""

import numpy as np
import pytest

from api.ar.marker import SECOND_LEFT_MM, second_bottom_mm
from tests.api.ar.peers import needs_package
from tests.api.conftest import Api, problem_of

DPI = 300
MM = 25.4 / DPI


def rasterised(pdf: bytes) -> tuple[np.ndarray, str]:
    """The only page as PDFium draws it, as gray pixels, and its text."""
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf)
    (page,) = document
    assert [round(side * 25.4 / 72) for side in page.get_size()] == [210, 297]
    gray = page.render(scale=DPI / 72, grayscale=True).to_numpy()
    return np.ascontiguousarray(gray.reshape(gray.shape[:2])), page.get_textpage().get_text_range()


@needs_package("pypdfium2", "pyapriltags")
@pytest.mark.parametrize(("query", "size"), [("", 50), ("?size_mm=20", 20), ("?size_mm=87.5", 87.5)])
def test_a_detector_finds_the_marker_in_its_stated_size(api: Api, query: str, size: float):
    from pyapriltags import Detector

    answer = api.request("GET", f"/v1/ar/marker.pdf{query}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/pdf")
    gray, text = rasterised(answer.data)
    found, second = sorted(Detector(families="tag36h11").detect(gray), key=lambda tag: tag.tag_id)
    assert [(tag.tag_id, tag.hamming) for tag in (found, second)] == [(7, 0), (8, 0)]
    for tag, side in ((found, size), (second, 20)):
        sides = np.linalg.norm(tag.corners - np.roll(tag.corners, 1, axis=0), axis=1) * MM
        assert np.abs(sides - side).max() < 2 * MM
    # The detector's first corner is the lower left one, and its y leads down.
    lower_left = (second.corners[0] - found.center) * MM
    assert np.abs(lower_left - [SECOND_LEFT_MM, -second_bottom_mm(size)]).max() < MM
    assert "tag36h11, number seven (id 7)" in text
    assert f"Side of the black square: {size:g} mm" in text
    assert "Not for diagnosis" in text


@needs_package("pypdfium2")
def test_the_ruler_of_the_sheet_is_100_mm_long_with_101_ticks(api: Api):
    gray, text = rasterised(api.request("GET", "/v1/ar/marker.pdf").data)
    assert "The ruler is 100 mm long" in text
    dark = gray[:, : round(150 / MM)] < 128  # The second tag stands to the right of the ruler.
    widths = [columns[-1] - columns[0] + 1 if len(columns := np.flatnonzero(row)) else 0 for row in dark]
    full = [place for place, row in enumerate(dark) if row.sum() > 0.99 * widths[place] > 900]
    assert full
    assert np.abs(widths[full[0]] * MM - 100) < 2 * MM
    ticks = dark[full[0] - round(1 / MM)]
    assert np.count_nonzero(np.diff(ticks.astype(int)) == 1) == 101


@pytest.mark.parametrize("size", ["0", "19", "151", "nan", "inf", "-50", "", "50mm"])
def test_a_size_that_is_not_printed_is_refused(api: Api, size: str):
    problem = problem_of(api.request("GET", f"/v1/ar/marker.pdf?size_mm={size}"))
    assert (problem["status"], problem["type"]) == (400, "/problems/malformed")


def test_the_print_is_not_scaled_by_viewers_that_obey(api: Api):
    assert b"/PrintScaling /None" in api.request("GET", "/v1/ar/marker.pdf").data


def test_the_sheet_needs_a_key(api: Api):
    assert problem_of(api.request("GET", "/v1/ar/marker.pdf", key=""))["status"] == 401
