"""How many requests one process of the API holds at once, and of which kind: its threads, shared out."""

WAITING = 320
"""Requests that wait for a job to change; a thread that waits costs some memory and nothing else."""
INTAKES = 16
"""Submissions whose image is read and decoded, which takes up to a few hundred MB each."""
THREADS = WAITING + INTAKES + 16
"""All of them: however many wait and submit, others are answered."""
