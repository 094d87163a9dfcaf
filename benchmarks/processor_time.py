"""Reads the processor time of the service's processes from the kernel."""

import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

STORES = ("redis", "s3")
"""Parts that are not the service's own."""
_TICK = os.sysconf("SC_CLK_TCK")


def spent(pids: Mapping[str, int]) -> dict[str, float]:
    """Sum the seconds of processor time of each part, with those of its descendants."""
    seconds: dict[int, float] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = _fields(folder)
        except OSError:  # It has ended.
            continue
        pid, parent = int(folder.name), int(fields[1])
        # Its own time and that of its children that have ended, in user and system mode.
        seconds[pid] = sum(map(int, fields[11:15])) / _TICK
        children[parent].append(pid)

    def of_tree(pid: int) -> float:
        return seconds.get(pid, 0.0) + sum(map(of_tree, children[pid]))

    return {name: of_tree(pid) for name, pid in pids.items()}


def spent_by_threads(pid: int) -> dict[str, float]:
    """Read the seconds of processor time of each thread of a process, by its id."""
    seconds = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # It has ended.
            seconds[folder.name] = sum(map(int, _fields(folder)[11:13])) / _TICK
    return seconds


def _fields(folder: Path) -> list[str]:
    """Read the fields of `stat` behind the name, of a process or a thread."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
