"""docs/operate.md and docs/deploy.md: their commands work as printed, beside a stack that `make up` runs."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from stack.part import ROOT
from stack.parts import WORKERS
from tests.integration.conftest import Stack, launch, running

PAGE = (ROOT / "docs/operate.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def pasted(block: str, stack: Stack) -> str:
    """What a block prints that is pasted beside this stack, with no variable of ours but its folder."""
    theirs = ("OSTEO_", "AWS_", "S3_", "REDIS_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        env=environment | {"OSTEO_VAR": str(stack.folder)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_commands_for_3_am_tell_what_a_well_stack_is(stack: Stack):
    (block,) = (text for text in BLOCKS if "/health/ready" in text)
    told, *figures = pasted(block.replace("http://127.0.0.1:8000", stack.ready["api"]), stack).splitlines()
    assert json.loads(told)["status"] == "ready"
    assert {"osteo_redis_up 1.0", "osteo_object_store_up 1.0", "osteo_dead_letters 0.0"} <= set(figures)


def test_a_worker_of_the_stack_is_found_without_a_setting(stack: Stack):
    assert pasted(".venv/bin/python -m admin.alive inference", stack) == ""


def test_every_figure_that_the_page_names_is_served(stack: Stack):
    served = "".join(map(stack.metrics, ("api", *WORKERS)))
    named = re.findall(r"`(osteo_(?!client_)[a-z_]+)[`{]", PAGE)
    assert len(named) > 8
    assert [name for name in named if f"# TYPE {name} " not in served] == []


def test_the_commands_for_keys_and_the_audit_log_run_as_printed(stack: Stack):
    (block,) = (text for text in BLOCKS if "admin.keys" in text)
    made, listed, rotated, revoked, *acts = map(json.loads, pasted(block, stack).splitlines())
    assert made["webhook_secret"].startswith("whsec_")
    assert listed["scopes"] == ["read", "submit"]
    assert rotated["replaces"]["id"] == revoked["id"] == listed["id"]
    assert [act["action"] for act in acts] == ["createKey", "rotateKey", "revokeKey"]


def test_the_commands_for_readers_run_as_printed(stack: Stack):
    (block,) = (text for text in BLOCKS if "admin.readers totp" in text)
    told = map(json.loads, pasted(block, stack).splitlines())
    made, listed, equipped, quiet, rotated, linked, *acts, disabled = told
    assert {document["id"] for document in (made, listed, equipped, quiet, rotated, linked, disabled)} == {
        made["id"]
    }
    assert made["otpauth"].startswith("otpauth://totp/")
    assert acts == []
    assert disabled["disabled_at"]


def test_the_commands_for_an_operator_run_as_printed(stack: Stack):
    (look,) = (text for text in BLOCKS if "osteo top" in text)
    told = pasted(look.replace("http://127.0.0.1:8000", stack.ready["api"]), stack)
    assert "inference 1   delivery 1   sweeper 1" in told
    (block,) = (text for text in BLOCKS if "--groups operators" in text)
    assert json.loads(pasted(block, stack))["groups"] == ["operators"]


def test_the_command_for_the_story_of_a_job_runs_as_printed(stack: Stack):
    (block,) = (text for text in BLOCKS if "admin.story" in text)
    job = stack.settled(stack.submit()["id"])["id"]
    *past, now = pasted(f"JOB={job}\n{block}", stack).splitlines()
    assert [row.split("state ")[1].split(",")[0] for row in past if "  version " in row] == [
        *("queued", "running", "succeeded"),
    ]
    assert "action submitJob, client development" in "".join(past)
    assert "state succeeded, priority routine, on agenda" in now


def test_the_commands_that_roll_a_model_out_and_back_run_as_printed(stack: Stack):
    (block,) = (text for text in BLOCKS if "admin.models" in text)
    lines = list(map(json.loads, pasted(block, stack).splitlines()))
    shadow, group, report, canary, promoted, back, listed, _, ended, removed, *acts = lines
    digest = listed["bundle"]
    assert (shadow["shadow"], shadow["shadow_percent"]) == (digest, 100)
    assert (group["group"], group["jobs"]) == ("all jobs", 0)
    assert report["promotion"] == ["0 jobs were scored by it as shadow, and 200 are needed"]
    assert (canary["canary"], canary["canary_percent"]) == (digest, 5)
    assert promoted == {"promoted": False}
    assert (back["active"], back["canary"]) == (None, None)
    assert listed["parts"] == ["shadow"]
    assert ended["shadow"] is None
    assert (removed["bundle"], removed["scores"]) == (digest, 0)
    assert [act["action"] for act in acts if act["subject"]] == [
        *("publishModel", "setShadowModel", "setCanaryModel", "endShadowModel", "removeModel"),
    ]


def test_the_commands_for_dead_letters_run_as_printed(stack: Stack):
    (block,) = (text for text in BLOCKS if "dead_letters retry" in text)
    assert pasted(block, stack) == ""


@pytest.mark.long
def test_a_signing_key_is_replaced_as_printed_and_the_stack_goes_on(tmp_path: Path):
    (block,) = (text for text in BLOCKS if "admin.signing_key" in text)
    with running(tmp_path) as stack:
        settings = tmp_path / "settings.json"
        assert settings.stat().st_mode & 0o777 == 0o600
        _, client = map(
            json.loads, pasted(block + "echo $OSTEO_SIGNING_KEY > $OSTEO_VAR/new", stack).splitlines()
        )
        assert client["client"] == "development"
    assert not settings.exists()
    # With the key before it refuses to start, and says why.
    refused = launch(tmp_path)
    said = refused.process.communicate()[1]
    assert refused.process.returncode == 1
    assert "OSTEO_SIGNING_KEY is not the key of this bucket" in said
    with running(tmp_path, OSTEO_SIGNING_KEY=(tmp_path / "new").read_text().strip()) as stack:
        assert stack.webhook_secret == client["webhook_secret"]
    kept = json.loads((tmp_path / "secrets.json").read_text())["signing_key"]
    assert kept == (tmp_path / "new").read_text().strip()


@pytest.mark.parametrize("file", ["docs/deploy.md", ".env.example"])
def test_the_lines_that_make_secrets_make_all_that_compose_requires(file: str, tmp_path: Path):
    text = re.sub(r"^#   ", "", (ROOT / file).read_text(), flags=re.MULTILINE)
    (block,) = re.findall(r"^\(umask 077\n for name.*?\)$", text, re.DOTALL | re.MULTILINE)
    subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, check=True)
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert made.keys() == required
    assert all(made.values())
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_every_block_of_the_page_is_run():
    assert len(BLOCKS) == 10
    assert PAGE.count("\n```") == 2 * (len(BLOCKS) + 5), (
        "and what is no command: the rights that tests/jobs/redis/test_peers.py gives, what sentinels.py runs"
    )
