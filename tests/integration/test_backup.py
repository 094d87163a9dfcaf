"""docs/backup.md: a bucket is backed up with jobs under way, lost, restored, and nothing of it is missing."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pyotp
import pytest
from redis import Redis

from jobs.reading.readings import Readings
from jobs.record.job import now
from jobs.redis.queue import JobQueue
from jobs.redis.view import View
from jobs.store.audit import Audit, AuditEntry
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from osteo_client import Client
from osteo_client.signatures import verify_report
from stack.part import ROOT
from tests.conftest import Servers, a_job
from tests.integration.conftest import Stack, running
from tests.jobs.reading.signed import claimed, sign
from tests.worker.conftest import after_a_while
from worker.sweeper.reconcile import reconcile
from worker.sweeper.sweep import Sweeper

PAGE = (ROOT / "docs/backup.md").read_text()
REMOTE, BACK_UP, RESTORE, *_ = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
UNDER_WAY = 12
CLIENT = "development"


class Operator:
    """Runs lines of the page, with the buckets and stores of this test."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self.before = f"osteo-{uuid4().hex[:8]}"
        self.after = f"{self.before}-restored"
        self.copies = folder / "copies"
        self._servers = servers
        (folder / "bin").mkdir()
        (folder / "bin/rclone").symlink_to(Path(sys.executable).parent / "rclone")
        self._environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "S3_ENDPOINT_URL": servers.s3_url,
            "RCLONE_CONFIG": "",
            "RCLONE_CONFIG_BACKUP_TYPE": "alias",
            "RCLONE_CONFIG_BACKUP_REMOTE": str(self.copies),
        }

    def does(self, lines: list[str]) -> None:
        text = "\n".join(lines).replace("live:osteo-restored", f"live:{self.after}")
        text = re.sub(r"live:osteo\b(?!-)", f"live:{self.before}", text)
        script = f"{REMOTE}\n{text}"
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self._environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr

    def restores(self) -> None:
        """Lose the bucket and Redis, and fetch the copies into a new bucket."""
        lost = self.objects(self.before)
        for key in list(lost.keys("")):
            lost.delete(key)
        Redis.from_url(self._servers.redis_url).flushall()
        stop, _, made, copied, wiped, start = RESTORE.splitlines()
        assert (stop, made) == ("systemctl stop osteo.target", "systemctl start osteo-bucket")
        assert wiped.endswith("redis-cli flushall")
        assert start == "systemctl start osteo.target"
        self.objects(self.after).make_bucket()
        self.does([copied])

    def objects(self, bucket: str) -> Objects:
        return Objects.connect(self._servers.s3_url, bucket)


def signed_reading(stack: Stack, job: str) -> str:
    """Read a job as the development reader does, sign the report, and return the reading's id."""
    as_reader = {"Authorization": f"Bearer {stack.ready['reader_key']}"}
    (reading,) = stack.request("GET", f"/v1/jobs/{job}/readings").json()["readings"]
    here = f"/v1/readings/{reading['id']}"
    assert stack.request("POST", f"{here}/claim", headers=as_reader).status == 200
    finding = {"finding": "no_fracture"}
    answer = stack.request("POST", f"{here}/commit", headers=as_reader, json=finding)
    assert answer.status == 200, answer.data
    code = pyotp.TOTP(stack.ready["totp_secret"]).now()
    report = finding | {"sites": [], "text": "No fracture.", "urgent": False, "advice": ""}
    order = {"report": report, "code": code}
    signed = stack.request("POST", f"{here}/sign", headers=as_reader, json=order)
    assert signed.status == 200, signed.data
    return str(reading["id"])


def verified(stack: Stack, reading: str) -> dict:
    keys = stack.request("GET", "/.well-known/jwks.json").json()
    client = Client(stack.ready["api"], stack.ready["api_key"])
    return verify_report(client.reading(reading), keys, sha256(stack.radiograph).hexdigest())


def audit_log(environment: dict[str, str]) -> list[dict]:
    command = [sys.executable, "-m", "admin.audit", "--client", CLIENT, "--since", "2026-01-01"]
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_a_restored_bucket_has_every_job_reading_and_act(servers: Servers, queue: JobQueue, tmp_path: Path):
    operator = Operator(tmp_path, servers)
    objects = operator.objects(operator.before)
    objects.make_bucket()
    ledger = Ledger(objects, View.connect(servers.redis_url, 3600))
    ended, under_way, later = a_job(), a_job(), a_job()
    first, _, *second, _ = BACK_UP.splitlines()
    for job in (ended, under_way):
        ledger.accept(job, b"image")
    reading = sign(ledger, claimed(ledger, ended))
    ended = ledger.append(ledger.append(ended.started("w", now())).succeeded({"finding": "fracture"}, now()))
    operator.does([first])
    ledger.accept(later, b"image")
    Audit(objects, ledger.view.redis).record_durably(AuditEntry(CLIENT, "submitJob"))
    operator.does(second)
    kept = {key: objects.get(key) for key in objects.keys("")}
    assert {key.partition("/")[0] for key in kept} >= {"jobs", "readings", "audit"}
    operator.restores()
    restored = Ledger(operator.objects(operator.after), ledger.view)
    assert {key: restored.objects.get(key) for key in restored.objects.keys("")} == kept
    sweeper = Sweeper(restored, queue, 3, timedelta(seconds=300))
    reconcile(sweeper)
    after_a_while(sweeper, ledger.view.redis)
    assert {job for _, job in queue.waiting()} == {under_way.id, later.id}
    assert restored.read(ended.id) == ended
    assert Readings(restored).read(reading.id) == reading


@pytest.mark.long
def test_a_restored_bucket_ends_all_jobs_and_keeps_readings_and_audit_log(servers: Servers, tmp_path: Path):
    operator = Operator(tmp_path, servers)
    stores = {"REDIS_URL": servers.redis_url, "S3_ENDPOINT_URL": servers.s3_url, "S3_BUCKET": operator.before}
    operator.objects(operator.before).make_bucket()
    first, stop, *second, _ = BACK_UP.splitlines()
    assert stop == "systemctl stop osteo.target"
    with running(tmp_path / "var", **stores) as stack:
        read = stack.submit(read="requested", reference="visit-1")["id"]
        reading = signed_reading(stack, read)
        report = verified(stack, reading)
        ended = stack.settled(stack.submit()["id"])
        under_way = [stack.submit()["id"] for _ in range(UNDER_WAY)]
        operator.does([first])
        stack.stop(signal.SIGTERM)
    acts = audit_log(stores)
    operator.does(second)
    left = list(operator.objects(operator.before).keys("pending/"))
    assert left, "no job is under way: the backup shows nothing"

    operator.restores()
    restored = stores | {"S3_BUCKET": operator.after}
    with running(tmp_path / "var", **restored) as stack:
        for job in [read, *under_way]:
            assert stack.settled(job)["state"] == "succeeded"
        assert stack.job(ended["id"])["result"] == ended["result"]
        assert verified(stack, reading) == report
        assert [act for act in audit_log(restored) if act in acts] == acts
        assert {act["action"] for act in acts} >= {"submitJob", "createKey"}
