"""Tests in a process of its own that freed memory is returned, and that threads share heaps."""

import subprocess
import sys

from stack.part import ROOT
from worker.inference.memory import ARENAS

RESIDENT = """
from pathlib import Path

def resident():
    return next(int(l.split()[1]) for l in Path("/proc/self/status").open() if l.startswith("VmRSS"))

"""
FREED = """
from worker.inference.memory import give_back

blocks = [bytes(100_000) for _ in range(2_000)]
last = blocks[-1]  # It keeps the heap from shrinking by itself.
del blocks
before = resident()
give_back()
print(before - resident())
"""
FREED_LATER = """
import time
from worker.inference import memory

memory.ROUND_SECONDS = 0.01
memory.keep_heaps_small()
blocks = [bytes(100_000) for _ in range(2_000)]
last = blocks[-1]  # It keeps the heap from shrinking by itself.
before = resident()
del blocks
until = time.monotonic() + 60
while before - resident() < 100_000 and time.monotonic() < until:
    time.sleep(0.01)
print(before - resident())
"""
HEAPS = """
from threading import Barrier, Thread
from worker.inference.memory import keep_heaps_small

keep_heaps_small()
together = Barrier(16)

def work():
    together.wait()
    blocks = [bytearray(5_000) for _ in range(200)]
    together.wait()

def arenas():  # glibc gives each arena 64 MiB of addresses, at a multiple of that.
    maps = Path("/proc/self/maps").read_text()
    starts = (int(line.split("-")[0], 16) for line in maps.splitlines())
    return sum(start % 2**26 == 0 for start in starts)

threads = [Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(arenas())
"""

LARGE_FREED = """
from worker.inference.memory import LARGE, keep_heaps_small

keep_heaps_small()
bytes(8 * LARGE)  # Left alone, glibc takes the heap for blocks of this size from now on.
before = resident()
blocks = [bytes([1]) * (2 * LARGE) for _ in range(50)]
last = bytes(100_000)  # It keeps the heap from shrinking by itself.
grown = resident() - before
del blocks
print(grown, resident() - before)
"""


def output_of(program: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT + program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [int(number) for number in done.stdout.split()]


def test_freed_memory_is_returned_to_the_system():
    (given_back,) = output_of(FREED)
    assert given_back > 100_000, "kilobytes"


def test_freed_memory_is_returned_again_and_again():
    (given_back,) = output_of(FREED_LATER)
    assert given_back > 100_000, "kilobytes"


def test_threads_share_a_few_heaps():
    (arenas,) = output_of(HEAPS)
    assert arenas <= ARENAS


def test_a_large_block_leaves_nothing_behind():
    held, left = output_of(LARGE_FREED)
    assert held > 90_000, "kilobytes"
    assert left < 5_000
