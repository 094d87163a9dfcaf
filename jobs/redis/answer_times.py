"""Counts the jobs by the time from their submission to their answer, in buckets as Prometheus has them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from jobs.record.job import Job
from jobs.record.states import Kind, Priority, State

BUCKETS = (1, 2, 5, 10, 20, 30, 60, 300, 900, 3_600, 14_400, 86_400)
"""Upper bounds of the buckets, in seconds. 30 is the objective of `stat`."""
_NEVER = "+Inf"


def answer_time(job: Job) -> tuple[str, int]:
    """Return the upper bound of the bucket of an ended job, '' where it is not counted, and the milliseconds.

    A result and a refusal are answers. A job that was given up or has expired has none in any time. What
    an operator retries was counted at its first end, and what a client cancels is not counted.
    """
    if job.kind is not Kind.JOB or not job.finished_at or job.retries:
        return "", 0
    seconds = max(0.0, (job.finished_at - job.created_at).total_seconds())
    if job.state is State.EXPIRED or job.dead_letter:
        return _NEVER, round(seconds * 1000)
    if job.state not in (State.SUCCEEDED, State.FAILED):
        return "", 0
    place = bisect_left(BUCKETS, seconds)
    return str(BUCKETS[place]) if place < len(BUCKETS) else _NEVER, round(seconds * 1000)


def answer_times(counts: Mapping[str, int], priority: Priority) -> tuple[Sequence[tuple[str, float]], float]:
    """Return the cumulative buckets of a priority by upper bound, and the sum of seconds."""
    buckets, count = [], 0
    for bound in (*map(str, BUCKETS), _NEVER):
        count += counts.get(f"answer:{priority}:{bound}", 0)
        buckets.append((bound if bound == _NEVER else f"{float(bound)}", float(count)))
    return buckets, counts.get(f"answer-ms:{priority}", 0) / 1000
