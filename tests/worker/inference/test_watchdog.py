import subprocess
import sys

import pytest

from stack.part import ROOT

HANG = {
    "a thread that waits for ever": "Event().wait()",
    "code that never gives up the interpreter's lock": "re.match('(a+)+$', 'a' * 60 + 'b')",
}
WORKER = """
import re
from threading import Event
from worker.inference.watchdog import Watchdog

watchdog = Watchdog(1.5)
watchdog.start()
with watchdog.at_work("job_a"):
    pass
with watchdog.at_work("job_b"):
    {work}
watchdog.stop()
print("ended in order")
"""


def run(work: str) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-c", WORKER.format(work=work))
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("work", HANG.values(), ids=HANG)
def test_a_job_that_hangs_ends_its_worker_and_shows_where(work: str):
    done = run(work)
    assert done.returncode == 1
    assert "ended in order" not in done.stdout
    assert 'File "<string>", line 11' in done.stderr


def test_a_job_within_its_time_does_not_end_its_worker():
    done = run("Event().wait(0.1)")
    assert (done.returncode, done.stdout) == (0, "ended in order\n"), done.stderr
