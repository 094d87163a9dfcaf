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
TARGETS_EVENT = "org.osteo.targets.v1"
"""The targets of a job, as a CloudEvent."""
USUAL_EVENTS = JOB_EVENTS + STUDY_EVENTS + READING_EVENTS
"""What a client is sent that has chosen nothing."""
EVENTS = (*USUAL_EVENTS, TARGETS_EVENT)
