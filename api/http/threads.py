"""Sets how many requests of each kind one process of the API serves at once, and its number of threads."""

ONE_IN = 4
"""One client has at most one in this number of the slots for submissions."""
WAITING = 640
"""Requests that wait for a job to change. A waiting thread costs some memory only."""
WAITING_OF_ONE = 320
"""The most requests of one client that wait for a job to change."""
STREAMS = 160
"""Worklists of readers that wait for news."""
STREAMS_OF_ONE = 8
"""The most worklists of one reader that wait for news."""
INTAKES = 32
"""Submissions whose body has arrived, and that are checked or stored."""
STUDIES = 4
"""Studies whose body has arrived, each with up to OSTEO_MAX_STUDY_BYTES in /tmp."""
THREADS = WAITING + STREAMS + INTAKES + STUDIES + 48
"""All threads: 48 of them are left for other requests, however many wait and submit."""
CONNECTIONS = 4096
"""Most connections of one process. Beyond it, an idle connection is closed for each new one."""
