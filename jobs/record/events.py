"""Names the events that a client may be told of by callback."""

JOB_EVENTS = ("job.succeeded", "job.failed", "job.expired", "job.canceled")
STUDY_EVENTS = ("study.succeeded", "study.failed")
EVENTS = JOB_EVENTS + STUDY_EVENTS
