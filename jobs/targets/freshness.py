"""Says until when targets are valid: a picture of a patient who may have moved since is soon none."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.record.job import Job
from jobs.targets.states import BlockingReason

_NANO = 10**9
_DECIMALS = re.compile(r"\.([0-9]+)")
MOST_CLOCK_OFFSET_S = 1.0
"""Clocks of the modality, the service and a robot that differ by more make an age meaningless."""
LONGEST_VALIDITY_S = 86_400
"""The most that OSTEO_TARGET_SECONDS may be, and the longest age that a consumer may ask for."""


@dataclass(frozen=True)
class Freshness:
    """When a picture was taken and until when it is valid, in nanoseconds since 1970; None where unknown."""

    produced_ns: int
    acquired_ns: int | None
    valid_until_ns: int | None
    reason: BlockingReason | None


def freshness_of(job: Job, now_ns: int, target_seconds: int, max_age_s: float | None = None) -> Freshness:
    """Return how fresh a job's picture is. `max_age_s` is the consumer's own limit, which only shortens.

    A picture that was submitted before its own time has a wrong clock for good: it does not become fresh once
    that time comes.
    """
    acquired_s = ((job.acquisition or {}).get("geometry") or {}).get("acquired_at_s")
    if acquired_s is None:
        return Freshness(now_ns, None, None, BlockingReason.ACQUISITION_TIME_UNKNOWN)
    acquired_ns = round(acquired_s * 10**6) * 1000
    until_ns = acquired_ns + target_seconds * _NANO
    age_s = (now_ns - acquired_ns) / _NANO
    reason = None
    age_at_submission_s = job.created_at.timestamp() - acquired_s
    if min(age_s, age_at_submission_s) < -MOST_CLOCK_OFFSET_S:
        reason = BlockingReason.ACQUIRED_IN_FUTURE
    elif now_ns > until_ns:
        reason = BlockingReason.TOO_OLD
    elif max_age_s is not None and age_s > max_age_s:
        reason = BlockingReason.OLDER_THAN_MAX_AGE
    return Freshness(now_ns, acquired_ns, until_ns, reason)


def moment_text_ns(moment_ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 in UTC with nine decimals."""
    seconds, rest = divmod(moment_ns, _NANO)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def moment_ns(text: str) -> int:
    """Return an RFC 3339 time with a zone, of up to nine decimals, in nanoseconds since 1970.

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text)  # It leaves out what lies below a microsecond.
    if moment.tzinfo is None:
        raise ValueError(f"a time without its zone: {text}")
    decimals = _DECIMALS.search(text)
    below = decimals[1].ljust(9, "0")[6:9] if decimals else "0"
    return round(moment.timestamp() * 10**6) * 1000 + int(below)
