"""Tests that a submission without a free slot is refused with a time to retry, and not stored."""

import io

import pytest

from api.identity.key_store import Keys
from model.decode_processes.client_slots import ClientSlots
from tests import pictures
from tests.api.test_parts_down import client_of

PNG = pictures.encoded(pictures.gray())
STUDY = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


@pytest.fixture
def client(settings, ledger, queue):
    return client_of(settings, ledger, queue, Keys(ledger.records))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs", {"data": PNG}),
        ("/v1/studies", {"data": {"image": (io.BytesIO(PNG), "x.png")}}),
        ("/dicom-web/studies", {"data": b"--b--\r\n", "headers": STUDY}),
    ],
)
def test_a_submission_without_a_free_slot_is_asked_to_retry(client, ledger, path, body):
    answer = client.post(path, environ_overrides={"api.too_busy": True}, **body)
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/too-busy")
    assert answer.headers["Retry-After"]
    assert list(ledger.pending()) == []


def test_a_submission_without_a_free_decode_process_is_asked_to_retry(settings, ledger, queue, monkeypatch):
    client = client_of(settings, ledger, queue, Keys(ledger.records))
    with monkeypatch.context() as patched:
        patched.setattr(ClientSlots, "hold", _no_slot)
        answer = client.post("/v1/jobs", data=PNG)
        study = client.post("/v1/studies", data={"image": (io.BytesIO(PNG), "x.png")})
    for refused in (answer, study):
        assert (refused.status_code, refused.json["type"]) == (503, "/problems/too-busy")
        assert refused.headers["Retry-After"]
    assert list(ledger.pending()) == []
    assert client.post("/v1/jobs", data=PNG).status_code == 202


def _no_slot(*_: object) -> object:
    raise TimeoutError
