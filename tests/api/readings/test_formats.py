"""`GET /v1/readings/{id}` in each format: for its client, for its reader, and for a reader who is blind."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import urllib.request
from base64 import b64decode
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from pydicom import dcmread

from admin.keys import Keys
from jobs.record.job import Job, now
from tests import pictures
from tests.api.conftest import ROOT, Api, problem_of
from tests.api.readings import signed_readings
from tests.api.readings.test_fhir import check, of_kind
from tests.api.readings.test_routes import Person, requested
from tests.api.routes.test_jobs import PNG
from tests.results import RESULT

SOURCE = pictures.dicom_of_a_study(pictures.gray(), PatientName="Hidden")
FHIR, DICOM = "application/fhir+json", "application/dicom"
OF_THE_MODEL = (RESULT["model"]["name"], RESULT["model"]["sha256"], "heatmap", "0.93", "probability")


pytestmark = pytest.mark.usefixtures("policy")


@pytest.fixture
def ada(api: Api) -> Person:
    return Person(api, "Ada Bone")


def analysed(api: Api, image: bytes = SOURCE) -> Job:
    job = api.ledger.read(api.submit(image).json()["id"])
    return api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))


def read(ada: Person, job: Job, report: dict | None = None) -> str:
    """The path of a reading of this job that ada has signed."""
    here = f"/v1/readings/{requested(ada.api, job)['id']}"
    said = report or signed_readings.REPORT
    ada.ask("POST", f"{here}/claim")
    ada.ask("POST", f"{here}/commit", {"finding": said["finding"]})
    signed = ada.ask("POST", f"{here}/sign", {"report": said, "code": ada.code(), "grade": "1"})
    assert signed.status == 200, signed.data
    return here


def of_client(api: Api, path: str, accept: str):
    return api.request("GET", path, headers={"Accept": accept})


def of_reader(person: Person, path: str, accept: str):
    return person.ask("GET", path, Accept=accept)


def test_a_client_gets_the_signed_reading_in_every_format(api: Api, ada: Person):
    here = read(ada, analysed(api))
    plain, fhir, dicom = (of_client(api, here, accept) for accept in ("*/*", FHIR, DICOM))
    assert plain.json()["state"] == "signed"
    assert fhir.headers["Content-Type"] == f"{FHIR}; fhirVersion=4.0"
    check(fhir.json())
    assert {one["status"] for one in of_kind(fhir.json(), "DiagnosticReport")} == {"preliminary", "final"}
    assert dicom.headers["Content-Type"] == DICOM
    report = dcmread(io.BytesIO(dicom.data))
    assert (report.VerificationFlag, str(report.PatientName)) == ("VERIFIED", "Hidden")
    of_model = dcmread(io.BytesIO(of_client(api, f"/v1/jobs/{plain.json()['job']}/result", DICOM).data))
    before = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert before.ReferencedSOPInstanceUID == of_model.SOPInstanceUID
    assert all(answer.headers["Vary"] == "Accept" for answer in (plain, fhir, dicom))
    assert "Hidden" not in api.log.read_text()
    assert b"Hidden" not in fhir.data


def test_a_blind_reader_gets_no_byte_of_the_answer_in_any_format(api: Api, ada: Person):
    here = f"/v1/readings/{requested(api, analysed(api))['id']}"
    for act in (None, "claim"):
        if act:
            ada.ask("POST", f"{here}/{act}")
        answers = [of_reader(ada, here, accept) for accept in ("application/json", FHIR, DICOM)]
        check(answers[1].json())
        for answer in answers:
            assert not [word for word in OF_THE_MODEL if word in answer.data.decode().lower()]
        assert problem_of(answers[2])["status"] == 409
    ada.ask("POST", f"{here}/commit", {"finding": "no_fracture"})
    assert RESULT["model"]["name"] in of_reader(ada, here, FHIR).data.decode()


def test_another_readers_report_is_hidden_while_blind_in_any_format(api: Api, ada: Person):
    job, bob = analysed(api), Person(api, "Bob Bone")
    here = read(ada, job)
    second = f"/v1/readings/{requested(api, job)['id']}"
    hidden = of_reader(bob, here, FHIR)
    check(hidden.json())
    assert not of_kind(hidden.json(), "DiagnosticReport")
    assert "Displaced" not in hidden.data.decode()
    assert problem_of(of_reader(bob, here, DICOM))["type"] == "/problems/answer-hidden"
    bob.ask("POST", f"{second}/claim")
    bob.ask("POST", f"{second}/commit", {"finding": "fracture"})
    assert "Displaced" in of_reader(bob, here, FHIR).data.decode()
    assert of_reader(bob, here, DICOM).status == 200


@pytest.mark.parametrize(("accept", "seen"), [(FHIR, RESULT["model"]["name"]), ("*/*", "disagreement")])
def test_a_reader_who_saw_the_answer_is_not_blind_afterwards(api: Api, ada: Person, accept: str, seen: str):
    job, bob = analysed(api), Person(api, "Bob Bone")
    here = read(ada, job)
    assert seen in of_reader(bob, here, accept).data.decode()
    second = f"/v1/readings/{requested(api, job)['id']}"
    bob.ask("POST", f"{second}/claim")
    committed = bob.ask("POST", f"{second}/commit", {"finding": "fracture"}).json()
    assert committed["committed"]["blind"] is False


@pytest.mark.parametrize(
    "accept", ["image/png", "application/fhir+xml", 'multipart/related; type="application/dicom"']
)
def test_another_format_is_refused_with_the_formats_of_readings(api: Api, ada: Person, accept: str):
    here = f"/v1/readings/{requested(api, analysed(api))['id']}"
    refused = problem_of(of_client(api, here, accept))
    assert refused["status"] == 406
    assert FHIR in refused["detail"]


def test_dicom_before_the_signature_or_of_a_png_is_refused(api: Api, ada: Person):
    here = f"/v1/readings/{requested(api, analysed(api))['id']}"
    assert problem_of(of_client(api, here, DICOM))["type"] == "/problems/reading-moved"
    report = {**signed_readings.REPORT, "sites": []}
    assert "PNG" in problem_of(of_client(api, read(ada, analysed(api, PNG), report), DICOM))["detail"]
    without_study = analysed(api, pictures.dicom(pictures.gray()))
    assert "study" in problem_of(of_client(api, read(ada, without_study), DICOM))["detail"]


def test_a_reading_of_another_client_does_not_exist_in_any_format(api: Api, ada: Person):
    here, other = read(ada, analysed(api)), Keys(api.records).create("another")
    stranger = Person(api, "Eve Chest", frozenset({"chests"}))
    for accept in ("application/json", FHIR, DICOM):
        assert api.request("GET", here, key=other, headers={"Accept": accept}).status == 404
        assert of_reader(stranger, here, accept).status == 404


def test_a_transaction_is_answered_where_the_query_asks_for_one(api: Api, ada: Person):
    here = read(ada, analysed(api))
    bundle = of_client(api, f"{here}?bundle=transaction", FHIR).json()
    check(bundle)
    assert bundle["type"] == "transaction"
    assert problem_of(of_client(api, f"{here}?bundle=batch", FHIR))["status"] == 400


def test_a_verifier_needs_the_published_key_alone_and_sees_each_change(api: Api, ada: Person):
    job = analysed(api)
    bundle = of_client(api, read(ada, job), FHIR).json()
    with urllib.request.urlopen(f"{api.url}/.well-known/jwks.json") as answer:
        keys = KeySet.import_key_set(json.load(answer))
    (provenance,) = of_kind(bundle, "Provenance")
    token = b64decode(provenance["signature"][0]["data"]).decode()
    claims = json.loads(jws.deserialize_compact(token, keys, algorithms=["Ed25519"]).payload)
    report = next(one for one in of_kind(bundle, "DiagnosticReport") if one["status"] == "final")
    signed = b64decode(report["presentedForm"][0]["data"])
    assert claims["report_sha256"] == hashlib.sha256(signed).hexdigest()
    assert claims["report_sha256"] != hashlib.sha256(signed.replace(b"Displaced", b"Undisplaced")).hexdigest()
    assert claims["image_sha256"] == hashlib.sha256(SOURCE).hexdigest()
    assert claims["model_sha256"] == RESULT["model"]["sha256"]
    assert (claims["job"], claims["number"], claims["reader"]) == (job.id, 1, ada.reader.id)
    head, payload, signature = token.split(".")
    changed = json.dumps(claims | {"report_sha256": "0" * 64}).encode()
    forged = jws.serialize_compact({"alg": "Ed25519"}, changed, OKPKey.generate_key("Ed25519"), ["Ed25519"])
    for text in (f"{head}.{forged.split('.')[1]}.{signature}", forged, f"{head}.{payload}."):
        with pytest.raises((JoseError, ValueError)):
            jws.deserialize_compact(text, keys, algorithms=["Ed25519"])


def test_the_published_key_has_no_private_part(api: Api):
    (key,) = api.request("GET", "/.well-known/jwks.json", key="").json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "kid", "use", "alg"}
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")


def test_the_description_says_that_it_is_no_qualified_signature(api: Api):
    document = api.request("GET", "/openapi.json", key="").json()
    asked = document["paths"]["/v1/readings/{reading_id}"]["get"]
    assert "no qualified electronic signature" in asked["description"]
    assert asked["responses"]["200"]["content"].keys() == {"application/json", FHIR, DICOM}


def block_of(page: str, word: str) -> str:
    """The block of a page that has this word."""
    blocks = re.findall(r"```(?:python|sh)\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return next(block for block in blocks if word in block)


def test_the_python_of_the_page_verifies_a_report_and_no_changed_one(api: Api, ada: Person):
    here, block = read(ada, analysed(api)), block_of("http.md", "KeySet")
    reading = of_client(api, here, "application/json").json()
    key_set = api.request("GET", "/.well-known/jwks.json", key="").json()
    exec(block, {"reading": reading, "key_set": key_set, "image": SOURCE})
    version = reading["reports"][-1]
    other_text = version | {"report": version["report"] | {"text": "Intact."}}
    other_site = version | {"report": version["report"] | {"sites": [{"point": [1, 1]}]}}
    for changed in (other_text, other_site, version | {"number": 2}, version | {"reader": "reader_2"}):
        with pytest.raises(AssertionError):
            exec(block, {"reading": reading | {"reports": [changed]}, "key_set": key_set, "image": SOURCE})
    with pytest.raises(AssertionError, match="another image"):
        exec(block, {"reading": reading, "key_set": key_set, "image": SOURCE + b"x"})
    another = OKPKey.generate_key("Ed25519", {"kid": key_set["keys"][0]["kid"]}).as_dict(private=False)
    with pytest.raises(JoseError):
        exec(block, {"reading": reading, "key_set": {"keys": [another]}, "image": SOURCE})


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("dsrdump")),
    reason="THE BLOCK OF DICOM.MD WAS NOT RUN: curl or dsrdump is missing. On Debian: curl, dcmtk",
)
def test_the_block_of_the_page_shows_the_report(api: Api, ada: Person, tmp_path: Path):
    named = {"KEY": api.key, "API": api.url, "READING": read(ada, analysed(api)).rpartition("/")[2]}
    command = ["bash", "-euo", "pipefail", "-c", block_of("dicom.md", "$READING")]
    shown = subprocess.run(
        command, cwd=tmp_path, env=os.environ | named, capture_output=True, text=True, check=True
    )
    assert "VERIFIED" in shown.stdout
    assert "Displaced." in shown.stdout
