"""The names, tables and overlays that `osteo` gives beside its lines."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from osteo_client.command.table import COLUMNS, table
from osteo_client.command.whole import write_whole
from tests.client.conftest import PNG, Worker
from tests.client.test_command import folder, key, lines, osteo

__all__ = ["folder", "key", "osteo"]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_status_names_the_file_that_a_job_came_from(osteo: Any, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(PNG)
    (sent,) = lines(osteo("submit", "x.png", "--json"))
    for arguments in ([], [sent["id"]]):
        (printed,) = lines(osteo("status", *arguments, "--json"))
        assert (printed["id"], printed["file"]) == (sent["id"], str(tmp_path / "x.png"))
    kept = tmp_path / "state" / "osteo" / "files.jsonl"
    assert kept.stat().st_mode & 0o077 == 0, "names of files may be names of patients"


def test_a_table_has_a_row_for_each_xray(osteo: Any, folder: Path, worker: Worker, tmp_path: Path):
    (folder / "empty.dcm").touch()
    sent = [line for line in lines(osteo("submit", folder, "--json")) if "id" in line]
    worker.fail(sent[0]["id"])
    for line in sent[1:]:
        worker.succeed(line["id"])
    assert osteo("submit", folder, "--csv", "t.csv").returncode == 3
    printed = {row["file"]: row for row in rows(tmp_path / "t.csv")}
    assert set(printed) == {line["file"] for line in sent} | {str(folder / "empty.dcm")}
    assert printed[str(folder / "empty.dcm")]["error"] == "it is empty"
    assert printed[sent[0]["file"]]["error"] == "not-a-radiograph: It is a photograph."
    good = printed[sent[1]["file"]]
    assert (good["job"], good["state"], good["finding"]) == (sent[1]["id"], "succeeded", "fracture")
    assert (good["probability"], good["model"]) == ("0.9", "osteo-test 1")
    osteo("result", *(line["id"] for line in sent), "--csv", "r.csv")
    assert {row["file"]: row for row in rows(tmp_path / "r.csv")} == {
        line["file"]: printed[line["file"]] for line in sent
    }


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@x.png", "\tx.png", "\rx.png"])
def test_a_cell_that_is_a_formula_is_escaped(name: str, tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(b"".join(table([{"file": name}])))
    assert rows(tmp_path / "t.csv") == [dict.fromkeys(COLUMNS, "") | {"file": f"'{name}"}]


def test_a_write_that_fails_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "t.csv"
    write_whole(file, b"before")

    def full(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(file, b"after")
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (b"before", [file])


def test_overlays_of_files_of_one_name_stand_side_by_side(osteo: Any, folder: Path, worker: Worker):
    (folder / "deeper" / "0.png").write_bytes(PNG + b"\0")
    (folder / "a\nb\x1b[2J.png").write_bytes(PNG + b"\0\0")
    sent = lines(osteo("submit", folder, "--json"))
    for line in sent:
        worker.succeed(line["id"])
    for _ in range(2):
        assert osteo("submit", folder, "--heatmaps", "out").returncode == 0
    names = {file.name for file in (folder.parent / "out").iterdir()}
    assert len(names) == len(sent)
    assert len([name for name in names if name.startswith("0.job_")]) == 2
    assert [name for name in names if name.startswith("a_b__2J.job_")]
    for file in (folder.parent / "out").iterdir():
        assert file.read_bytes().startswith(b"\x89PNG")
