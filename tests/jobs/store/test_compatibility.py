"""Tests the marks of the stores: data of another layout or signing key are refused with a remedy."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from api.identity.key_store import Keys
from jobs.callbacks.signing import webhook_secret
from jobs.record.job import now
from jobs.redis.view import View
from jobs.settings import Settings
from jobs.store.compatibility import Compatibility, WrongStore, fingerprint
from jobs.store.objects import Objects
from jobs.store.stores import Stores
from stack.addresses import free_ports
from stack.part import ROOT
from tests.api.conftest import collaborators
from tests.conftest import SIGNING_KEY, a_job

OTHER_KEY = "another signing key, as an operator may have made one anew"


def environment(settings, **changed: str) -> dict[str, str]:
    return os.environ | {
        "OSTEO_SIGNING_KEY": SIGNING_KEY,
        "S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "S3_BUCKET": settings.s3_bucket,
        "REDIS_URL": settings.redis_url,
        **changed,
    }


def run(settings, *module: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    """Run a process or command that ends by itself, as where it refuses to start."""
    return subprocess.run(
        (sys.executable, "-m", *module),
        cwd=ROOT,
        env=environment(settings, **changed),
        capture_output=True,
        text=True,
        timeout=120,  # A process that starts does not end.
    )


def starts() -> list[tuple[str, ...]]:
    """The start of each process of the service, except for inference, which loads its model first."""
    api = ("gunicorn", "--config", "api/gunicorn.conf.py", "--bind", f"127.0.0.1:{free_ports(1)[0]}")
    return [api, ("worker", "delivery"), ("worker", "sweeper")]


def test_a_process_with_another_signing_key_refuses_to_start(settings, ledger):
    Stores.connect(settings).check()
    api, delivery, _ = starts()
    for command in (api, delivery, ("admin.keys", "create", "--client", "clinic")):
        done = run(settings, *command, OSTEO_SIGNING_KEY=OTHER_KEY)
        assert done.returncode != 0, command
        assert "OSTEO_SIGNING_KEY is not the key of this bucket" in done.stderr
        assert "Traceback" not in done.stderr
        assert OTHER_KEY not in done.stderr
    assert not list(ledger.objects.keys("keys/")), "a key was made with a secret that nothing signs with"


def test_the_fingerprint_is_written_once_and_reveals_no_part_of_the_key(settings, ledger):
    for key in (SIGNING_KEY, OTHER_KEY):
        compatibility = Stores.connect(replace(settings, signing_key=key)).compatibility()
        if key == SIGNING_KEY:
            compatibility.check()
        else:
            with pytest.raises(WrongStore):
                compatibility.check()
    (name,) = ledger.objects.keys("signing-key")
    assert json.loads(ledger.objects.get(name)) == {"fingerprint": fingerprint(SIGNING_KEY)}
    assert fingerprint(SIGNING_KEY) != fingerprint(OTHER_KEY)


def test_a_process_that_signs_nothing_ignores_the_signing_key(settings, ledger):
    Stores.connect(settings).check()
    Stores.connect(replace(settings, signing_key="")).check()
    done = run(settings, "admin.dead_letters", "list", OSTEO_SIGNING_KEY=OTHER_KEY)
    assert (done.returncode, done.stderr) == (0, "")


def test_replacing_the_signing_key_prints_every_new_secret(settings, ledger):
    Stores.connect(settings).check()
    Keys(ledger.records).create("clinic-a")
    Keys(ledger.records).create("clinic-b")
    done = run(settings, "admin.signing_key", "replace", OSTEO_SIGNING_KEY=OTHER_KEY)
    assert done.returncode == 0, done.stderr
    replaced, *clients = map(json.loads, done.stdout.splitlines())
    assert replaced == {"signing_key": fingerprint(OTHER_KEY), "replaces": fingerprint(SIGNING_KEY)}
    assert clients == [
        {"client": client, "webhook_secret": webhook_secret(OTHER_KEY, client)}
        for client in ("clinic-a", "clinic-b")
    ]
    Stores.connect(replace(settings, signing_key=OTHER_KEY)).check()
    with pytest.raises(WrongStore):
        Stores.connect(settings).check()
    again = run(settings, "admin.signing_key", "replace", OSTEO_SIGNING_KEY=OTHER_KEY)
    assert (again.returncode, again.stdout.splitlines()[1:]) == (2, done.stdout.splitlines()[1:])
    assert "nothing was replaced" in again.stderr


def test_a_redis_of_another_layout_is_refused_with_a_remedy(settings, ledger, redis):
    redis.set("layout", 99)
    assert_refused_for_its_layout(settings, "worker", "delivery")


def assert_refused_for_its_layout(settings: Settings, *command: str) -> None:
    done = run(settings, *command)
    assert done.returncode != 0, command
    assert "layout 99" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bucket_of_another_layout_is_refused_by_each_process(settings, ledger):
    ledger.objects.put("layout", json.dumps({"layout": 99, "version": "9.9.9"}).encode())
    commands = [("admin.keys", "list"), ("admin.audit", "--client", "a", "--since", "2026-01-01")]
    for command in (*starts(), *commands, ("worker", "inference"), ("admin.dead_letters", "list")):
        assert_refused_for_its_layout(settings, *command)


def test_data_of_0_1_0_are_recognised_without_a_mark(settings, ledger):
    ledger.objects.delete("layout")
    job = a_job()
    ledger.objects.put(f"jobs/{job.id}/image", b"image")
    ledger.objects.put(f"jobs/{job.id}/ledger/000001", b"{}")
    with pytest.raises(WrongStore, match=r"jobs of version 0\.1\.0"):
        Stores.connect(settings).check()


def test_data_of_0_2_0_are_taken_over_once_redis_is_wiped(settings, ledger, redis):
    job = a_job()
    ledger.accept(job, b"image")
    ledger.append(job.started("w", now()))
    ledger.objects.delete("layout")
    with pytest.raises(WrongStore, match="wipe Redis"):
        Stores.connect(settings).check()
    assert not ledger.objects.exists("layout")
    redis.flushdb()
    Stores.connect(settings).check()
    assert json.loads(ledger.objects.get("layout"))["layout"] == 2
    assert ledger.read(job.id).state == "running"


def test_an_empty_bucket_that_others_made_is_marked(settings, ledger):
    ledger.objects.delete("layout")
    Stores.connect(settings).check(may_mark=False)
    assert not ledger.objects.exists("layout"), "inference has no right to write it"
    Stores.connect(settings).check()
    assert ledger.objects.exists("layout")


def test_an_api_that_started_without_its_store_finds_the_wrong_one_later(settings, ledger, redis):
    """The store does not answer at the start, and comes back as one restored from elsewhere."""
    from api.app import create_app
    from jobs.redis.queue import JobQueue

    Stores.connect(settings).check()
    wrong = replace(settings, signing_key=OTHER_KEY)
    keys = Keys(ledger.records)
    key = keys.create("clinic")
    client = create_app(
        wrong, collaborators(wrong, ledger, JobQueue.connect(settings.redis_url), keys)
    ).test_client()
    assert client.get("/health/ready").status_code == 503
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 503


def test_marks_are_compared_though_redis_is_away(settings, ledger):
    away = View.connect("redis://127.0.0.1:1/0", 60).redis
    Compatibility(ledger.records, away, SIGNING_KEY).check()


def test_a_process_waits_for_its_store_and_then_goes_on(settings):
    """The process waits for a store that does not answer, and goes on once it does."""
    process = subprocess.Popen(
        (sys.executable, "-m", "worker", "sweeper"),
        cwd=ROOT,
        env=environment(settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        assert any("waiting for the stores" in line for line in process.stderr)
        Objects.connect(settings.s3_endpoint_url, settings.s3_bucket).make_bucket()
        view = View.connect(settings.redis_url, 60)
        while not view.heartbeats.alive("sweeper:"):
            assert process.poll() is None
    finally:
        process.terminate()
        process.communicate()
