"""Refuses what a client's policy does not allow: more open readings than its quota, and training."""

import logging

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.reading.policy import ReadingPolicy
from jobs.record.errors import QueueAway
from jobs.redis.reading_figures import ReadingFigures

log = logging.getLogger(__name__)

RETRY_SECONDS = 300
"""Seconds in Retry-After: readers take minutes for a reading."""


def refuse_beyond_quota(client: str, policy: ReadingPolicy, figures: ReadingFigures, more: int = 1) -> None:
    """Raise Problem 429 where so many `more` readings would be too many for this client at once.

    Requests at the same moment may pass together. While Redis does not answer nothing is counted; the sweeper
    counts the open readings of the object store again after a wipe. Raises QueueBusy.
    """
    try:
        present = figures.open_of(client)
    except QueueAway:
        log.warning("Redis does not answer; open readings are not counted", extra={"client": client})
        return
    if present + more > policy.most_open:
        detail = (
            f"{present} readings of this client are open; {policy.most_open} may be. Send it again later,"
            " cancel readings that you do not need, or send it with `read=none`: the model answers anyway."
        )
        raise Problem(Slug.TOO_MANY_READINGS, detail, retry_after=RETRY_SECONDS)


def refuse_forbidden_training(policy: ReadingPolicy) -> None:
    """Raise Problem 422 where the policy does not let models learn from the client's radiographs."""
    if not policy.training:
        detail = (
            "No model may learn from this client's radiographs, says the operator. Leave `training_use` out."
        )
        raise Problem(Slug.TRAINING_FORBIDDEN, detail)
