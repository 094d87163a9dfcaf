"""While as many submissions are being read as may be, the next one is told to come again."""

import io

import pytest

from api.key_store import Keys
from tests import pictures
from tests.api.test_parts_down import client_of

PNG = pictures.encoded(pictures.gray())
STUDY = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


@pytest.fixture
def client(settings, ledger, queue, monkeypatch):
    for seats in ("INTAKES", "STUDIES"):
        monkeypatch.setattr(f"api.intake.{seats}", 0)
    monkeypatch.setattr("api.intake.SEAT_SECONDS", 0.01)
    return client_of(settings, ledger, queue, Keys(ledger.records))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs", {"data": PNG}),
        ("/v1/studies", {"data": {"image": (io.BytesIO(PNG), "x.png")}}),
        ("/dicom-web/studies", {"data": b"--b--\r\n", "headers": STUDY}),
    ],
)
def test_the_next_one_is_asked_to_come_again(client, ledger, path, body):
    answer = client.post(path, **body)
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/too-busy")
    assert answer.headers["Retry-After"]
    assert list(ledger.pending()) == []
