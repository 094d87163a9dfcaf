"""Tests where the operator's commands find the service, and that a reader who leaves stops no change."""

import json
import os
import subprocess
import sys

import pytest

from api.identity.key_store import Keys
from jobs.record.job import now
from jobs.store.audit import Audit, AuditEntry
from jobs.store.stores import Stores
from stack.part import ROOT
from tests.conftest import SIGNING_KEY, a_job

OURS = ("OSTEO_", "S3_", "AWS_", "REDIS_URL")
BARE = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
COMMANDS = {
    "keys": ("admin.keys", "list"),
    "readers": ("admin.readers", "list"),
    "audit": ("admin.audit", "--client", "clinic", "--since", "2026-01-01"),
    "dead letters": ("admin.dead_letters", "list"),
    "models": ("admin.models", "list"),
    "bucket": ("admin.bucket",),
}


@pytest.fixture
def stack_settings(settings, tmp_path) -> dict[str, str]:
    """The file that `make up` writes into its folder while it runs."""
    variables = {
        "OSTEO_SIGNING_KEY": SIGNING_KEY,
        "REDIS_URL": settings.redis_url,
        "S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "S3_BUCKET": settings.s3_bucket,
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
    }
    (tmp_path / "settings.json").write_text(json.dumps(variables))
    return variables


def run(tmp_path, *command: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (sys.executable, "-m", *command),
        cwd=ROOT,
        env=BARE | {"OSTEO_VAR": str(tmp_path), **changed},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_finds_a_running_stack_by_itself(ledger, stack_settings, tmp_path, name):
    mark_as_the_stacks(ledger, stack_settings)
    done = run(tmp_path, *COMMANDS[name])
    assert (done.returncode, done.stderr) == (0, "")


def mark_as_the_stacks(ledger, stack_settings) -> None:
    """The stores as the API of this stack has left them."""
    from jobs.store.compatibility import Compatibility

    Compatibility(ledger.records, ledger.view.redis, stack_settings["OSTEO_SIGNING_KEY"]).check()


@pytest.mark.parametrize("name", ["keys", "audit", "dead letters"])
def test_a_command_without_a_stack_says_which_variables_are_missing(tmp_path, name):
    done = run(tmp_path, *COMMANDS[name])
    assert done.returncode == 2
    assert f"no stack of `make up` runs in {tmp_path}" in done.stderr
    missing = {"REDIS_URL", "S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert all(variable in done.stderr for variable in missing)
    assert ("OSTEO_SIGNING_KEY" in done.stderr) == (name == "keys")


def test_a_command_without_credentials_says_which_variables_hold_them(settings, tmp_path):
    servers = {"REDIS_URL": settings.redis_url, "S3_ENDPOINT_URL": settings.s3_endpoint_url}
    done = run(tmp_path, *COMMANDS["audit"], **servers, AWS_EC2_METADATA_DISABLED="true", HOME=str(tmp_path))
    assert done.returncode == 2
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr


def test_no_secret_is_printed_that_the_stack_does_not_sign_with(ledger, stack_settings, tmp_path):
    mark_as_the_stacks(ledger, stack_settings)
    create = ("admin.keys", "create", "--client", "clinic")
    done = run(tmp_path, *create, OSTEO_SIGNING_KEY="0123456789" * 4)
    assert (done.returncode, done.stdout) == (2, "")
    assert "OSTEO_SIGNING_KEY is not the key of this bucket" in done.stderr
    assert run(tmp_path, *create).returncode == 0


def read_one_line(tmp_path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command whose reader leaves after the first line."""
    script = f"{sys.executable} -m {' '.join(command)} | head -n 1; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=BARE | {"OSTEO_VAR": str(tmp_path)},
        capture_output=True,
        text=True,
    )


def test_all_changes_are_made_though_the_reader_has_left(ledger, stack_settings, tmp_path):
    for _ in range(11):
        job = a_job(reference="r")
        ledger.accept(job, b"image")
        ended = ledger.append(ledger.append(job.started("w", now())).failed("worker-lost", "It died.", now()))
        ledger.settle(ended)
    done = read_one_line(tmp_path, "admin.dead_letters", "retry", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(ledger.dead_letters())
    assert len(list(ledger.pending())) == 11


def test_a_reader_who_leaves_is_no_error_for_any_command(settings, ledger, stack_settings, tmp_path):
    Stores.connect(settings).check()
    audit, keys = Audit(ledger.objects, ledger.view.redis), Keys(ledger.records)
    # More than the buffer of a pipe: the next write finds the pipe closed.
    for _ in range(3):
        keys.create("clinic")
    entries = [json.dumps(vars(AuditEntry("clinic", "getJob", subject=f"job_{n:026d}"))) for n in range(2000)]
    audit._write(entries)
    for command in (COMMANDS["audit"], COMMANDS["keys"]):
        done = read_one_line(tmp_path, *command)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert len(done.stdout.splitlines()) == 1
