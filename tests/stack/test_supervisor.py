"""The supervisor with real processes: small programs that live, die and refuse to die on command."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack import supervisor as supervisor_module
from stack.errors import GaveUp, StopRequested
from stack.part import ROOT, Command, Part
from stack.supervisor import Supervisor
from tests.conftest import await_that

LIVES = "import signal; signal.pause()"
DIES = "import sys; print('the reason why'); sys.exit(3)"
LEAVES_A_CHILD = """
import os, signal
if os.fork() == 0: signal.signal(signal.SIGTERM, signal.SIG_IGN)
else: open(os.environ['MARK'], 'w').close()
while True: signal.pause()
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0: signal.pause()
open(os.environ['MARK'], 'w').close()
while True: signal.pause()
"""


class Workshop:
    """Makes parts whose logs and marks lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def part(self, name: str, program: str, answers: Callable[[int], bool] = lambda _: True) -> Part:
        environment = {"PATH": os.environ["PATH"], "MARK": str(self.mark(name))}
        command = Command(name, (sys.executable, "-c", program), environment, answers)
        return Part(command, self.folder / f"{name}.log", os.open(self.folder, os.O_RDONLY))

    def mark(self, name: str) -> Path:
        return self.folder / f"{name}.mark"


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Ends a supervisor that watches for ever, so that what it missed shows as a failure."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def run(supervisor: Supervisor, parts: list[Part]) -> None:
    supervisor.begin(parts)
    supervisor.settle(parts)


def group_is_empty(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_parts_that_start_answer_and_leave_nothing_when_the_context_ends(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = workshop.part("first", LIVES), workshop.part("second", LIVES)
    with Supervisor([["second"], ["first"]]) as supervisor:
        run(supervisor, [first, second])
        pids = supervisor.pids
        assert set(pids) == {"first", "second"}
    assert all(group_is_empty(pid) for pid in pids.values())
    output = capsys.readouterr().err
    assert "first ok in" in output
    assert output.index("stopping second") < output.index("stopping first")
    assert "killed" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_stop_signal_ends_the_watch(workshop: Workshop, number: signal.Signals) -> None:
    part = workshop.part("part", LIVES)
    with Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
        os.kill(os.getpid(), number)
        with pytest.raises(StopRequested, match=number.name):
            supervisor.watch(lambda: None)
    assert group_is_empty(part.pid)


def test_a_stop_signal_is_heard_while_a_part_is_still_silent(workshop: Workshop) -> None:
    part = workshop.part("part", LIVES, answers=lambda _: bool(os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(StopRequested), Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
    assert group_is_empty(part.pid)


def test_a_part_that_dies_unready_is_given_up_with_its_last_lines(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    part = workshop.part("part", DIES, answers=lambda _: False)
    with pytest.raises(GaveUp, match="exit status 3"), Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
    assert "the reason why" in capsys.readouterr().err


def test_a_killed_part_is_named_and_restarted_and_a_change_is_reported(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    part = workshop.part("part", LIVES)
    with Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
        before = part.pid
        changes = []

        def changed() -> None:
            changes.append(supervisor.pids["part"])
            os.kill(os.getpid(), signal.SIGTERM)

        os.kill(before, signal.SIGKILL)
        with pytest.raises(StopRequested):
            supervisor.watch(changed)
    assert changes == [part.pid]
    assert part.pid != before
    output = capsys.readouterr().err
    assert f"part (process {before}) died: was killed by SIGKILL" in output
    assert "restarting part" in output


def test_a_part_that_dies_a_fourth_time_within_a_minute_is_given_up(workshop: Workshop) -> None:
    part = workshop.part("part", LIVES)
    with Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
        os.kill(part.pid, signal.SIGKILL)
        with pytest.raises(GaveUp, match="died 4 times"):
            supervisor.watch(lambda: os.kill(part.pid, signal.SIGKILL))
    assert len(part.deaths) == 4


def test_a_part_that_never_answers_is_given_up(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "START_SECONDS", 0.1)
    part = workshop.part("part", LIVES, answers=lambda _: False)
    with pytest.raises(GaveUp, match="does not answer"), Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
    assert group_is_empty(part.pid)


def test_a_part_that_ignores_the_request_is_killed_with_its_children(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor_module, "GRACE_SECONDS", 0.3)
    part = workshop.part("part", STUBBORN, answers=lambda _: workshop.mark("part").exists())
    with Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
    assert "part does not end; it is killed" in capsys.readouterr().err
    await_that(lambda: group_is_empty(part.pid))


def test_what_a_part_leaves_behind_when_it_ends_is_killed(workshop: Workshop) -> None:
    part = workshop.part("part", LEAVES_A_CHILD, answers=lambda _: workshop.mark("part").exists())
    with Supervisor([["part"]]) as supervisor:
        run(supervisor, [part])
    await_that(lambda: group_is_empty(part.pid))


def test_parts_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.stack.test_supervisor import LIVES, Workshop, run;"
        "from stack.supervisor import Supervisor; part = Workshop(Path(sys.argv[1])).part('part', LIVES);"
        "supervisor = Supervisor([['part']]).__enter__(); run(supervisor, [part]);"
        "print(part.pid, flush=True); supervisor.watch(print)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert not group_is_empty(pid)
        supervisor.kill()
    await_that(lambda: group_is_empty(pid))
