"""How many requests one process of the API holds at once, and of which kind: its threads, shared out."""

WAITING = 320
"""Requests that wait for a job to change; a thread that waits costs some memory and nothing else."""
INTAKES = 32
"""Submissions that are being read, many of them over slow lines, or stored."""
STUDIES = 4
"""Studies that are, each of them with up to OSTEO_MAX_STUDY_BYTES in /tmp."""
THREADS = WAITING + INTAKES + 48
"""All of them: however many wait and submit, others are answered."""
