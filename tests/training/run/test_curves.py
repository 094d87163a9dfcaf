"""The lines that a run keeps, one for each step."""

from pathlib import Path

from training.run.curves import append_line, read_lines


def test_a_cut_line_is_left_out_and_the_last_line_of_a_step_counts(tmp_path: Path):
    path = tmp_path / "history.jsonl"
    append_line(path, at=1, loss=0.5)
    append_line(path, at=2, loss=0.4)
    path.write_text(path.read_text() + '{"at": 3, "lo')
    append_line(path, at=2, loss=0.3)
    assert read_lines(path) == [{"at": 1, "loss": 0.5}, {"at": 2, "loss": 0.3}]
