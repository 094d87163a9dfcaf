"""Reads times as clients write them."""

from datetime import UTC, datetime

from api.http.problem import Problem
from api.http.problem_kinds import Slug


def moment(name: str, text: object) -> datetime:
    """Read the time of a field or parameter, in UTC. Raises Problem 400."""
    try:
        read = datetime.fromisoformat(str(text))
        if read.tzinfo is not None:
            return read.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    detail = f"`{name}` takes a time in ISO 8601 with its zone, such as 2026-11-23T12:00:00Z."
    raise Problem(Slug.MALFORMED, detail)
