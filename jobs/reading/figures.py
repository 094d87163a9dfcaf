"""Makes what the figures in Redis take of a reading."""

from datetime import datetime

from jobs.reading.reading import Reading
from jobs.reading.states import ReadingState
from jobs.redis.reading_figures import ReadingShown


def shown(reading: Reading) -> ReadingShown:
    """Return what the figures take of this version of a reading."""
    at = {entry["type"]: datetime.fromisoformat(entry["at"]) for entry in reading.history}
    signed = at.get("signed")
    return ReadingShown(
        id=reading.id,
        client=reading.client,
        version=reading.version,
        priority=reading.priority,
        requested_at=reading.requested_at.timestamp(),
        due_at=reading.due_at.timestamp(),
        waits=reading.state is ReadingState.REQUESTED,
        open=reading.state.open,
        overdue="overdue" in at,
        turnaround=max(0, round((signed - reading.requested_at).total_seconds())) if signed else None,
        disagreement=(reading.disagreement or {}).get("kind", "not_comparable"),
    )
