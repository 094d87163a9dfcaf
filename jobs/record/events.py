"""Names the events that a callback can carry."""

JOB_EVENTS = ("job.succeeded", "job.failed", "job.expired", "job.canceled")
STUDY_EVENTS = ("study.succeeded", "study.failed")
READING_EVENTS = (
    "reading.requested",
    "reading.claimed",
    "reading.returned",
    "reading.signed",
    "reading.amended",
    "reading.overdue",
    "reading.canceled",
    "reading.expired",
)
EVENTS = JOB_EVENTS + STUDY_EVENTS + READING_EVENTS
