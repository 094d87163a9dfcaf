"""The intake takes any damaged file: for some seconds here, with `python -m tests.fuzz` for longer."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 10


def test_no_damaged_file_crashes_hangs_or_fills_the_memory(tmp_path: Path):
    last = tmp_path / "last"
    done = subprocess.run(
        (sys.executable, "-m", "tests.fuzz", "--seconds", str(SECONDS), "--last", str(last)),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nthe file: {last.read_bytes().hex()}"
    assert "shown" in done.stdout
    assert "BrokenImage" in done.stdout
