"""How many requests one process of the API holds at once, and of which kind: its threads, shared out."""

ONE_IN = 4
"""One client has at most a quarter of the slots for submissions."""
WAITING = 640
"""Requests that wait for a job to change; a thread that waits costs some memory and nothing else."""
WAITING_OF_ONE = 320
"""Those of one client among them."""
INTAKES = 32
"""Submissions whose body is here, and that are being checked or stored."""
STUDIES = 4
"""Studies that are, each of them with up to OSTEO_MAX_STUDY_BYTES in /tmp."""
THREADS = WAITING + INTAKES + STUDIES + 48
"""All of them: however many wait and submit, others are answered."""
CONNECTIONS = 4096
"""Most connections of one process; beyond it, one that nothing is done for is closed for the next."""
