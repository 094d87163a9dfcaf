"""Tries a bundle in a process of its own: one that crashes, hangs or takes all memory harms no worker.

`python -m worker.rollout.trial FOLDER ENGINE CACHE` is that process; what it prints says why it has failed.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from model.errors import BundleRefused

_ROOT = Path(__file__).parents[2]
_LOOK = 0.1
"""Seconds between two looks at the process."""
_OURS = ("OSTEO_", "AWS_", "REDIS_", "S3_")
"""What the names of our settings and secrets begin with: a trial needs none."""


class LoadBroken(RuntimeError):
    """A load has ended its process, or did not end in time. To try again soon would do so again."""


class LoadStopped(RuntimeError):
    """The worker is to end, and so its load was given up. Nothing is said of the bundle."""


@dataclass(frozen=True)
class Trial:
    """Loads bundles as a worker does, each in a new process of `seconds` at most, until `stopping` is set."""

    engine: str | None
    cache: Path | None
    seconds: float
    stopping: Event

    def __call__(self, folder: Path) -> None:
        """Load the bundle in this folder, and forget it.

        Raises BundleRefused for an error of any kind, LoadBroken, LoadStopped, and OSError where no process
        starts.
        """
        environment = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}
        with subprocess.Popen(
            (sys.executable, "-m", __name__, str(folder), self.engine or "", str(self.cache or "")),
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                self._wait(process)
            finally:
                process.kill()
            said, _ = process.communicate()
        if process.returncode < 0:
            raise LoadBroken(f"it has ended the process of its trial: {_signal(-process.returncode)}")
        if process.returncode:
            raise BundleRefused(said.strip() or f"its trial ended with status {process.returncode}")

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        until = time.monotonic() + self.seconds
        while process.poll() is None:
            if self.stopping.wait(_LOOK):
                raise LoadStopped("the worker ends")
            if time.monotonic() > until:
                raise LoadBroken(f"it was not loaded within {self.seconds:g} s")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def main() -> int:
    """Load the bundle that the command line names. Return 1, once the reason is printed, where that fails."""
    from model.classifier import Classifier
    from worker.rollout.loader import why

    # A kernel that is short of memory ends this process first, and not the worker.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    folder, engine, cache = sys.argv[1:]
    with os.fdopen(os.dup(1), "w") as answer:
        # What an engine prints goes to the log.
        os.dup2(2, 1)
        try:
            Classifier.load(Path(folder), engine or None, cache=Path(cache) if cache else None)
        except Exception as error:
            answer.write(why(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
