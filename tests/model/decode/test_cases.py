"""Files of `../shared/cases` that were misread once: each shows the same X-ray and gets its answer."""

import csv
from pathlib import Path

import numpy as np
import pytest

from model.classifier import Classifier
from model.decode.image import decode

CASES = Path(__file__).parents[4] / "shared" / "cases"
REFERENCE = "IMG0000319.jpg"
pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason=f"FILES THAT WERE MISREAD ARE MISSING: {CASES} is not there, so none was read"
)


def names() -> list[str]:
    if not CASES.is_dir():
        return []
    with (CASES / "cases.csv").open(newline="") as file:
        return [row["file"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", names())
def test_a_case_decodes_to_the_reference(name: str):
    reference = decode((CASES / REFERENCE).read_bytes()).pixels
    pixels = decode((CASES / name).read_bytes()).pixels
    height, width = pixels.shape
    assert reference.shape[0] - 2 <= height <= reference.shape[0]
    assert np.corrcoef(pixels.ravel(), reference[:height, :width].ravel())[0, 1] > 0.99


def test_every_case_gets_the_answer_of_the_reference():
    """The cases lack a row of the reference, one has padding beside it, and one lacks two rows and a column.

    Each is another input to the network, so its answer may differ a little; the last one may differ more.
    """
    classifier = Classifier.load(Path(__file__).parents[3] / "model" / "bundle", None)
    read = [decode((CASES / name).read_bytes()) for name in [REFERENCE, *names()]]
    (reference, *predictions) = classifier.predict(read)
    for name, radiograph, prediction in zip(names(), read[1:], predictions, strict=True):
        most = 0.05 if radiograph.width < read[0].width else 0.03
        assert prediction.finding == reference.finding, name
        assert prediction.probability == pytest.approx(reference.probability, abs=most), name
