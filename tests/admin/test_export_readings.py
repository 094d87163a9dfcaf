"""Exports signed readings from real stores to a folder that training collects."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from admin.export_folder import HELD_OUT, OtherFolder
from admin.export_readings import export_readings
from jobs.lifecycle.deletion import delete
from jobs.reading.policy import Policies
from jobs.reading.readings import Readings
from jobs.record.errors import StoreUnavailable
from jobs.record.job import ImageFacts, Job, now
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.audit import Audit
from jobs.store.consents import Consents
from jobs.store.ledger import Ledger
from jobs.store.stores import Stores
from model.decode.image import decode
from stack.part import ROOT
from tests import pictures
from tests.api.conftest import RESULT
from tests.conftest import SIGNING_KEY, a_job, a_study, run_command, start_command
from tests.jobs.reading.signed import POLICY, amend, claimed, sign
from tests.training.collections_of_xrays import pixels_of
from training.collect import REPORT, collect

HELD_OUT_JOBS, LEARNED_JOBS = (1, 2), (3, 4, 5)
"""Numbers of jobs by what the hashes of their ids say: held out, or learned from."""
BOX = [40.0, 20.0, 30.0, 25.0]


def run(settings: Settings, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return run_command(settings, "admin.export_readings", str(folder), *options)


@pytest.fixture
def export(settings: Settings, ledger: Ledger, queue: JobQueue) -> Callable[..., dict[str, Any]]:
    """Exports as the command does, within this process."""
    stores = Stores(ledger.objects, ledger.view.redis, ledger, queue, settings.signing_key)
    return lambda folder, *clients: export_readings(folder, frozenset(clients), settings, stores)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def labels(folder: Path) -> list[dict[str, str]]:
    return table(folder / "labels.csv") + table(folder / HELD_OUT / "labels.csv")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def stored(ledger: Ledger, number: int, image: bytes | None = None, **changes: Any) -> Job:
    """A job that models may learn from, with an X-ray of its own."""
    if image is None:
        array = pictures.gray()
        array[:40, number : number + 20] = 255 - 5 * number
        image = pictures.encoded(array)
    facts = ImageFacts(sha256="a" * 64, width=128, height=96, format="PNG", size=len(image))
    values = {"id": f"job_01KB0000000000000000000{number:03d}", "training_use": "allowed", "result": RESULT}
    job = a_job(**{"image": facts, **values, **changes})
    ledger.accept(job, image)
    return job


def test_signed_readings_become_a_collection_that_training_reads(export, ledger, tmp_path):
    folder, since = tmp_path / "readings", now()
    broken = stored(ledger, LEARNED_JOBS[0])
    sign(ledger, claimed(ledger, broken), sites=[{"box": BOX}, {"point": [3.0, 4.0]}], kind="missed")
    for number in (*LEARNED_JOBS[1:], *HELD_OUT_JOBS):
        sign(ledger, claimed(ledger, stored(ledger, number)), "no_fracture")
    report = export(folder)
    licence = "signed readings of clinic, consent of the client"
    assert (report["exported"], report["revoked"], report["licences"]) == (5, 0, [licence])
    (row,) = [row for row in table(folder / "labels.csv") if row["fractured"] == "1"]
    assert (json.loads(row["boxes"]), json.loads(row["points"])) == ([BOX], [[3.0, 4.0]])
    assert (row["blind"], row["disagreement"], row["first_finding"]) == ("1", "missed", "fracture")
    assert (row["model_finding"], row["model"], row["arbitrated"]) == ("fracture", "f" * 64, "0")
    for part, count in ((folder, len(LEARNED_JOBS)), (folder / HELD_OUT, len(HELD_OUT_JOBS))):
        entries = collect([part], tmp_path / f"run-{part.name}")
        assert [entry.licence for entry in entries] == [licence] * count
    acts = Audit(ledger.objects, ledger.view.redis).entries(since)
    assert [(act["client"], act["action"]) for act in acts] == [("clinic", "exportReadings")]


def test_only_allowed_jobs_with_a_clear_signed_finding_leave(export, ledger, tmp_path):
    sign(ledger, claimed(ledger, stored(ledger, 1, training_use=None)))
    claimed(ledger, stored(ledger, 2))
    for number, finding in enumerate(("not_sure", "not_diagnostic"), 3):
        sign(ledger, claimed(ledger, stored(ledger, number)), finding)
    sign(ledger, claimed(ledger, stored(ledger, 5)), kind="overcalled", grade="3b")
    sign(ledger, claimed(ledger, stored(ledger, 6, image=pictures.truncated_jpeg())))
    stored(ledger, 7)
    report = export(tmp_path / "readings")
    assert report["exported"] == 0
    assert report["left_out"] == {
        "an arbitration is not signed": 1,
        "no signed reading": 1,
        "not allowed": 1,
        "not decoded: BrokenImage": 1,
        "not_diagnostic": 1,
        "not_sure": 1,
    }
    assert not list((tmp_path / "readings").rglob("*.png"))


def test_nothing_in_the_folder_leads_back_to_a_person_or_a_job(export, ledger, tmp_path):
    image = pictures.dicom(pictures.gray(), PatientName="Doe^Jane", PatientID="P-4711")
    job = stored(ledger, 1, image, reference="visit-18", metadata={"name": "Jane Doe"})
    reading = sign(ledger, claimed(ledger, job), sites=[{"box": BOX, "bone": "Radius of Jane"}])
    export(tmp_path)
    told = b"".join(name.encode() + data for name, data in files(tmp_path).items())
    ids = (job.id, job.id.removeprefix("job_"), reading.id, "reader_ada", "Dr. Ada", job.image.sha256)
    for secret in (*ids, "Doe", "Jane", "P-4711", "visit-18", "private", SIGNING_KEY):
        assert secret.encode() not in told, secret
    (picture,) = tmp_path.rglob("*.png")
    with Image.open(picture) as opened:
        assert (opened.mode, opened.info) == ("L", {})
    assert np.array_equal(pixels_of(picture), decode(image).pixels)


def test_a_deleted_job_is_listed_as_revoked_and_its_image_removed(export, ledger, tmp_path):
    folder, run_folder = tmp_path / "readings", tmp_path / "run"
    jobs = [stored(ledger, number) for number in (*LEARNED_JOBS, *HELD_OUT_JOBS)]
    _, unsure, *others = [sign(ledger, claimed(ledger, job), "no_fracture") for job in jobs]
    export(folder)
    before = files(folder)
    assert export(folder)["revoked"] == 0
    assert files(folder) == before, "two exports of the same readings are equal"
    collect([folder], run_folder)
    amend(ledger, unsure, "not_sure")
    for reading in others:
        delete(reading.job, ledger)
    assert export(folder)["revoked"] == 4
    gone = {row["image"]: row["why"] for row in table(folder / "revoked.csv")}
    assert sorted(gone.values()) == ["not_sure", *["the job was deleted"] * 3]
    (left,) = folder.rglob("*.png")
    assert [row["image"] for row in labels(folder)] == [left.name]
    assert export(folder)["revoked"] == 4
    assert [Path(entry.image).name for entry in collect([folder], run_folder)] == [left.name]
    revoked = json.loads((run_folder / REPORT).read_text())["revoked"]
    assert len(revoked) == len(LEARNED_JOBS) - 1
    assert {Path(one["image"]).name: one["why"] for one in revoked}.items() < gone.items()


def test_revoked_consent_is_listed_with_its_reason_by_collect(export, ledger, tmp_path):
    folder, run_folder = tmp_path / "readings", tmp_path / "run"
    jobs = [stored(ledger, number, consent_reference=f"Jane-{number}") for number in LEARNED_JOBS]
    for job in jobs:
        sign(ledger, claimed(ledger, job), "no_fracture")
    assert export(folder)["exported"] == 3
    assert all(row["consent"] and "Jane" not in row["consent"] for row in labels(folder))
    collect([folder], run_folder)
    Consents(ledger.records).put(jobs[0], False, None, now())
    report = export(folder)
    assert (report["exported"], report["left_out"]) == (2, {"the consent was revoked": 1})
    command = (sys.executable, "-m", "training.collect", str(folder), "--run", str(run_folder))
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    assert said.count(": the consent was revoked\n") == 1
    Policies(ledger.records).put("clinic", replace(POLICY, training=False))
    assert export(folder)["exported"] == 0
    reasons = [row["why"] for row in table(folder / "revoked.csv")]
    assert sorted(reasons) == ["forbidden by the client's policy"] * 2 + ["the consent was revoked"]


def test_consent_that_was_given_later_lets_a_job_be_exported(export, ledger, tmp_path):
    job = stored(ledger, 1, training_use=None)
    sign(ledger, claimed(ledger, job))
    assert export(tmp_path)["left_out"] == {"not allowed": 1}
    Consents(ledger.records).put(job, True, "form-7", now())
    assert export(tmp_path)["exported"] == 1


def dicom_of(number: int, patient: str, **header: str) -> bytes:
    array = pictures.gray()
    array[:40, number : number + 20] = 255 - 5 * number
    return pictures.dicom(array, PatientName="Doe^Jane", PatientID=patient, **header)


def of_patient(ledger: Ledger, number: int, patient: str, client: str = "clinic", **header: str) -> Job:
    image = dicom_of(number, patient, **header)
    facts = ImageFacts(sha256="a" * 64, width=128, height=96, format="DICOM", size=len(image))
    job = a_job(
        client=client,
        id=f"job_01KB0000000000000000000{number:03d}",
        image=facts,
        training_use="allowed",
        result=RESULT,
    )
    ledger.accept(job, image)
    sign(ledger, claimed(ledger, job), "no_fracture")
    return job


def test_pictures_of_one_patient_stay_on_one_side(export, ledger, tmp_path, monkeypatch):
    for number in (1, 2, 3, 4):
        of_patient(ledger, number, "P-4711")
    of_patient(ledger, 5, "P-4711", IssuerOfPatientID="elsewhere")
    of_patient(ledger, 6, "P-4711", client="another")
    of_patient(ledger, 7, "")
    export(tmp_path)
    before = {row["image"]: row["group"] for row in labels(tmp_path)}
    groups = list(before.values())
    assert sorted(groups.count(group) for group in set(groups)) == [1, 1, 1, 4]
    told = b"".join(files(tmp_path).values())
    assert b"4711" not in told
    with monkeypatch.context() as patched:
        patched.setattr("model.decode_processes.pool.Decoders.patient", None)  # It is known by now.
        export(tmp_path)
    of_patient(ledger, 8, "P-4711")
    of_patient(ledger, 9, "")
    export(tmp_path)
    after = {row["image"]: row["group"] for row in labels(tmp_path)}
    assert before.items() < after.items(), "no group moves to another side"


def test_a_label_that_is_certain_again_is_revoked_no_more(export, ledger, tmp_path):
    reading = sign(ledger, claimed(ledger, stored(ledger, 1)))
    export(tmp_path)
    amend(ledger, reading, "not_sure")
    assert export(tmp_path)["revoked"] == 1
    amend(ledger, Readings(ledger).read(reading.id), "fracture")
    report = export(tmp_path)
    assert (report["exported"], report["revoked"]) == (1, 0)


def test_views_of_a_study_and_jobs_of_a_reference_are_one_group(export, ledger, tmp_path):
    study, views = a_study(2)
    first = stored(ledger, 1, id=views[0].id, study=study.id)
    second = stored(ledger, 2, id=views[1].id, study=study.id, reference="visit-18")
    third, alone = stored(ledger, 3, reference="visit-18"), stored(ledger, 4)
    other = stored(ledger, 5, reference="visit-18", client="another")
    for job in (first, second, third, alone, other):
        sign(ledger, claimed(ledger, job))
    export(tmp_path)
    groups = [row["group"] for row in labels(tmp_path)]
    assert sorted(groups.count(group) for group in set(groups)) == [1, 1, 3]
    for part in (tmp_path, tmp_path / HELD_OUT):
        assert {row["image"] for row in table(part / "labels.csv")} == {
            file.name for file in (part / "images").iterdir()
        }


def test_a_folder_of_other_clients_or_another_key_is_refused(export, ledger, tmp_path):
    sign(ledger, claimed(ledger, stored(ledger, 1)))
    sign(ledger, claimed(ledger, stored(ledger, 2, client="another")))
    assert export(tmp_path, "another")["exported"] == 1
    before = files(tmp_path)
    with pytest.raises(OtherFolder, match="another clients"):
        export(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/labels.csv").write_text("image,fractured\n")
    with pytest.raises(OtherFolder, match="no export"):
        export(tmp_path / "mine")
    (tmp_path / "theirs/images").mkdir(parents=True)
    (tmp_path / "theirs/images/a.png").write_bytes(b"an image of theirs")
    with pytest.raises(OtherFolder, match="no export"):
        export(tmp_path / "theirs")
    assert files(tmp_path) == before | {
        "mine/labels.csv": b"image,fractured\n",
        "theirs/images/a.png": b"an image of theirs",
    }


def test_an_export_that_loses_its_store_removes_nothing(export, ledger, tmp_path, monkeypatch):
    sign(ledger, claimed(ledger, stored(ledger, 1)))
    export(tmp_path)
    before = files(tmp_path)

    def away(*_: object) -> None:
        raise StoreUnavailable("the object store does not answer")

    monkeypatch.setattr(ledger, "read", away)
    with pytest.raises(StoreUnavailable):
        export(tmp_path)
    assert files(tmp_path) == before


def test_the_command_exports_the_readings_of_a_client(settings, ledger, tmp_path):
    sign(ledger, claimed(ledger, stored(ledger, 1)))
    done = start_command(settings, "admin.export_readings", str(tmp_path), "--client", "clinic")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["exported"] == 1
    refused = run(settings, tmp_path)
    assert (refused.returncode, "another clients" in refused.stderr) == (2, True)
