"""Names the keys under which the ledger stores its objects, all below one bucket.

    pending/<job id>                  the marker: the job's first record; there while something is left to do
    clients/<client>/jobs/<inverted>  the radiograph as submitted; lists a client's jobs newest first
    clients/<client>/studies/<inverted>  empty; there once a study and all of its jobs are accepted
    clients/<client>/events/<inverted>  empty; there once an event of a reading has a callback to deliver
    clients/<client>/claims/<key|id>-<hash>/  which job an idempotency key or an own id stands for
    clients/<client>/filed/<hash>/<job id>  empty; finds the jobs of a Study Instance UID
    jobs/<job id>/ledger/<version>    the job's record at that version, from the second on, JSON
    jobs/<job id>/shadow/<digest>     what a shadow found in the job, JSON (see jobs.models.shadow_scores)
    shadow/<digest>/<job id>          empty; lists the scores of a bundle
    unseen/<job id>                   empty; the sweeper has to put this job on the agenda in Redis
    due/<day>/<time>-<job id>         empty; the job has to be looked at then (or an upload, or a probe)
    dead-letters/<job id>             empty; there while an operator may have the job retried

A study (see jobs.record.study), and an event of a reading (see jobs.reading.events), has a record, a marker
and an end as a job has, under its own id.
"""

from jobs.record.job import Job

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # pragma: allowlist secret
INVERTED = str.maketrans(_CROCKFORD, _CROCKFORD[::-1])

FOLDERS = {"job": "jobs", "study": "studies", "event": "events"}
MARKERS = "pending/"
DEAD_LETTERS = "dead-letters/"


def marker_key(job_id: str) -> str:
    """Return the key of a job's marker."""
    return f"{MARKERS}{job_id}"


def dead_letter_key(job_id: str) -> str:
    """Return the key that stands for a dead letter."""
    return f"{DEAD_LETTERS}{job_id}"


def records_key(job_id: str) -> str:
    """Return what the keys of all versions of a job start with."""
    return f"jobs/{job_id}/ledger/"


def version_key(job_id: str, version: int) -> str:
    """Return the key of one version of a job, from the second on."""
    return f"{records_key(job_id)}{version:06d}"


def score_key(job_id: str, bundle: str) -> str:
    """Return the key of a shadow's score of a job, or what the keys of all of its scores start with."""
    return f"jobs/{job_id}/shadow/{bundle}"


def scored_key(bundle: str, job_id: str) -> str:
    """Return the key that lists a score of a bundle, or what all those keys start with."""
    return f"shadow/{bundle}/{job_id}"


def image_key(job: Job) -> str:
    """Return the key of a job's radiograph, or of the empty object of a study."""
    return listed_key(job.client, job.id)


def filed_key(client: str, digest: str, job_id: str = "") -> str:
    """Return the key of a job's entry under a Study Instance UID, or what all those keys start with."""
    return f"clients/{client}/filed/{digest}/{job_id}"


def listed_key(client: str, job_id: str) -> str:
    """Return the key by which a client's jobs, or its studies, are listed newest first."""
    # S3 lists in ascending order; inverted, a later id sorts first.
    kind, _, ulid = job_id.partition("_")
    return f"clients/{client}/{FOLDERS[kind]}/{ulid.translate(INVERTED)}"
