"""A PACS beside the service: Orthanc pushes a study, files the results in it, and pushes it again."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pyotp
import pytest
import urllib3

from model.synthetic import draw_forearm
from stack.addresses import free_ports
from stack.parent import end_with_parent
from tests import pictures
from tests.conftest import await_that
from tests.integration.conftest import Stack

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC = shutil.which("Orthanc")
pytestmark = pytest.mark.skipif(
    not (ORTHANC and PLUGIN.exists()),
    reason="NO PACS WAS TRIED: Orthanc is missing. On Debian: apt-get install orthanc orthanc-dicomweb",
)
RELATED = 'multipart/related; type="application/dicom"'


class Orthanc:
    """Orthanc's REST API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: bytes | dict | None = None) -> urllib3.BaseHTTPResponse:
        """Send one request; a dict goes as JSON."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        return urllib3.request(method, self._url + path, body=data, timeout=60, retries=False)

    def store(self, instance: bytes) -> str:
        """Store one instance; return Orthanc's name of its study."""
        answer = self.ask("POST", "/instances", instance)
        assert answer.status == 200, answer.data
        return str(answer.json()["ParentStudy"])

    def push(self, study: str) -> None:
        """Push a study to the service by STOW-RS; fail with what Orthanc says."""
        answer = self.ask(
            "POST", "/dicom-web/servers/osteo/stow", {"Resources": [study], "Synchronous": True}
        )
        assert answer.status == 200, answer.data

    def series(self, study: str) -> set[str]:
        """The modalities of the series in a study."""
        listed = self.ask("GET", f"/studies/{study}/series").json()
        return {series["MainDicomTags"]["Modality"] for series in listed}

    def tags(self, study: str, modality: str, tag: str) -> list[str]:
        """A tag of all instances of a modality in a study."""
        listed = self.ask("GET", f"/studies/{study}/instances").json()
        of_all = [self.ask("GET", f"/instances/{one['ID']}/simplified-tags").json() for one in listed]
        return [one[tag] for one in of_all if one["Modality"] == modality]


@pytest.fixture
def orthanc(stack: Stack, tmp_path: Path) -> Iterator[Orthanc]:
    """Orthanc, to which the service is known as `osteo`."""
    http, dicom = free_ports(2)
    service = {
        "Url": f"{stack.ready['api']}/dicom-web/",
        "Username": "orthanc",
        "Password": stack.ready["api_key"],
    }
    configuration = {
        **{"StorageDirectory": str(tmp_path / "db"), "IndexDirectory": str(tmp_path / "db")},
        **{
            "HttpPort": http,
            "DicomPort": dicom,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
        },
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Servers": {"osteo": {**service, "HasDelete": False}}},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    assert ORTHANC
    process = subprocess.Popen(
        (ORTHANC, str(tmp_path / "orthanc.json")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent(),
    )

    def answers() -> bool:
        assert process.poll() is None, "Orthanc did not start"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", http)) == 0

    try:
        await_that(answers)
        yield Orthanc(http)
    finally:
        process.terminate()
        process.wait()


def jobs_of(stack: Stack) -> list[str]:
    return [job["id"] for job in stack.request("GET", "/v1/jobs?limit=100").json()["jobs"]]


def test_results_come_back_into_the_study_and_a_second_push_makes_no_jobs(stack: Stack, orthanc: Orthanc):
    before = jobs_of(stack)
    study = orthanc.store(pictures.dicom_of_a_study(draw_forearm(3).pixels, StudyInstanceUID="1.2.3.4.77"))
    orthanc.push(study)
    (job_id,) = set(jobs_of(stack)) - set(before)
    assert stack.settled(job_id)["state"] == "succeeded"

    answer = stack.request("GET", f"/v1/jobs/{job_id}/result", headers={"Accept": RELATED})
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    results = [part.get_payload(decode=True) for part in message_from_bytes(head + answer.data).get_payload()]
    assert {orthanc.store(result) for result in results} == {study}
    assert len(results) == 2
    assert orthanc.series(study) == {"DX", "SR", "OT"}

    signed = verified_report(stack, job_id)
    assert orthanc.store(signed) == study
    verified = orthanc.tags(study, "SR", "VerificationFlag")
    assert sorted(verified) == ["UNVERIFIED", "VERIFIED"]

    orthanc.push(study)
    assert set(jobs_of(stack)) - set(before) == {job_id}


def verified_report(stack: Stack, job_id: str) -> bytes:
    """The report of a reading that the development reader has signed, as DICOM."""
    reading = stack.request("POST", f"/v1/jobs/{job_id}/readings").json()["id"]
    secret = json.loads((stack.folder / "secrets.json").read_text())["totp_secret"]

    def ask(act: str, body: dict | None = None) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {stack.ready['reader_key']}"}
        return urllib3.request(
            "POST",
            f"{stack.ready['api']}/v1/readings/{reading}/{act}",
            json=body,
            headers=headers,
            timeout=60,
        )

    ask("claim")
    ask("commit", {"finding": "fracture"})
    report = {"finding": "fracture", "sites": [{"point": [9, 9]}], "text": "", "urgent": False, "advice": ""}
    stack.await_unused_code()
    answer = ask("sign", {"report": report, "code": pyotp.TOTP(secret).now()})
    assert answer.status == 200, answer.data
    headers = {"Accept": "application/dicom"}
    return stack.request("GET", f"/v1/readings/{reading}", headers=headers).data
