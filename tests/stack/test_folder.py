"""What a stack keeps on disk, who may read it, and that it belongs to one stack at a time."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stack.errors import StartRefused
from stack.folder import Folder
from stack.part import ROOT


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_secrets_are_made_once_kept_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    secrets = folder.secrets()
    assert folder.secrets() == secrets
    assert len({secrets.redis_password, secrets.s3_access_key, secrets.s3_secret_key}) == 3
    assert mode(tmp_path / "secrets.json") == 0o600


def test_a_secret_that_an_older_stack_did_not_know_is_made_and_kept(tmp_path: Path) -> None:
    folder, file = Folder(tmp_path), tmp_path / "secrets.json"
    before = folder.secrets()
    older = {name: value for name, value in json.loads(file.read_text()).items() if name != "flower_password"}
    file.write_text(json.dumps(older))
    after = folder.secrets()
    assert replace(after, flower_password=before.flower_password) == before
    assert folder.secrets() == after


def test_another_signing_key_ends_the_life_of_the_development_key(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    known = folder.keep(folder.secrets(), api_key="osteo_x", webhook_secret="whsec_x")
    assert folder.secrets(known.signing_key) == known
    changed = folder.secrets("another key")
    assert (changed.signing_key, changed.api_key, changed.webhook_secret) == ("another key", None, None)
    assert changed.s3_secret_key == known.s3_secret_key
    assert folder.secrets() == known, "it may not be the key of these data"
    reader = folder.keep(known, reader_key="osteo_reader_x", totp_secret="ABC")
    assert folder.secrets() == reader
    assert (folder.secrets("another key").reader_key, folder.secrets("another key").totp_secret) == (
        None,
        None,
    )
    folder.keep(changed, api_key="osteo_y", webhook_secret="whsec_y")  # pragma: allowlist secret
    assert folder.secrets().signing_key == "another key"


def test_a_signing_key_that_is_given_at_the_first_start_is_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.secrets("a given key").signing_key == "a given key"
    assert folder.secrets().signing_key == "a given key"


def test_the_ready_file_is_private_and_goes_with_the_stack(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    ready = tmp_path / "ready.json"
    folder.publish_ready({"api": "http://x"})
    assert json.loads(ready.read_text()) == {"api": "http://x"}
    assert mode(ready) == 0o600
    folder.withdraw_ready()
    assert not ready.exists()


def test_a_ready_file_left_behind_does_not_outlive_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("{}")
    Folder(tmp_path)
    assert not (tmp_path / "ready.json").exists()


def test_a_second_stack_in_the_same_folder_learns_the_holder(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from stack.folder import Folder;"
        "folder = Folder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StartRefused, match=rf"process id {holder.pid} holds .*OSTEO_VAR"):
            Folder(tmp_path)
        holder.communicate()
    Folder(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartRefused, match="OSTEO_VAR"):
        Folder(tmp_path / "file")


def test_the_log_of_the_run_before_is_kept_aside(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fresh_log("api").write_text("before")
    assert not folder.fresh_log("api").exists()
    assert (tmp_path / "log/api.log.1").read_text() == "before"
