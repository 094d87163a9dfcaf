"""`osteo study`, `probe` and `redeliver`, over a real API."""

from pathlib import Path
from typing import Any

from tests.client.conftest import PNG, Worker
from tests.client.test_command import key, lines, osteo

__all__ = ["key", "osteo"]
HOOK = "https://clinic.example/hook"


def test_files_are_one_study_whose_view_is_redelivered(osteo: Any, tmp_path: Path, worker: Worker):
    for name in ("front.png", "side.png"):
        (tmp_path / name).write_bytes(PNG)
    (sent,) = lines(osteo("study", "front.png", "side.png", "--reference", "R 1", "--json"))
    assert (sent["study"]["reference"], len(sent["study"]["jobs"])) == ("R 1", 2)
    refused = osteo("redeliver", sent["id"])
    assert refused.returncode == 3
    (job,) = lines(osteo("submit", "front.png", "--callback", HOOK, "--json"))
    worker.succeed(job["id"])
    assert osteo("redeliver", job["id"]).stdout == f"{job['id']}  redelivered\n"


def test_a_test_event_is_sent_and_asked_for(osteo: Any):
    (sent,) = lines(osteo("probe", HOOK, "--json"))
    assert (sent["callback_url"], sent["called"]) == (HOOK, False)
    assert osteo("probe", sent["id"]).stdout == f"{sent['id']}  {HOOK}  not called yet\n"
    assert osteo("probe", "https://127.0.0.1/").returncode == 3
