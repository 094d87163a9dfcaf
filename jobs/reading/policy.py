"""Keeps, for each client, which groups of readers read its jobs, how, and how many at random."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

from jobs.reading.reading import no_reading_because
from jobs.reading.states import Mode, Wish
from jobs.record.job import Job
from jobs.record.states import State
from jobs.store.recent import Recent
from jobs.store.records import Records

_PREFIX = "reading-policies/"
OPEN_RANGE = (1, 10_000)
"""Range of `most_open`, the quota of a client."""


@dataclass(frozen=True)
class ReadingPolicy:
    """How a client's jobs are read. Without groups the client's jobs are read by no person."""

    groups: tuple[str, ...] = ()
    mode: Mode = Mode.BLIND
    wish: Wish = Wish.NONE
    """That of a submission that names none. Intake writes it into the job."""
    sample: float = 0.0
    """Share of the jobs with the wish `sample` that are read, from 0 to 1."""
    most_open: int = 500
    """Open readings beyond which no further one is requested."""
    training: bool = True
    """Whether a job's `training_use` may be `allowed`."""

    def asks_for(self, job: Job) -> bool:
        """Return whether this job is to be read, as its wish and its result say."""
        wish = Wish(job.reading["wish"]) if job.reading else Wish.NONE
        if not self.groups or wish is Wish.NONE or job.state is State.ERASED or no_reading_because(job):
            return False
        if wish is Wish.REQUESTED:
            return True
        if job.result is None:
            return False
        if wish is Wish.SAMPLE:
            return _drawn(job.id) < self.sample
        positive = job.result["finding"] == "fracture" and wish is Wish.IF_POSITIVE
        return positive or job.result["finding"] == "indeterminate"


class Policies:
    """The policies, at `reading-policies/<client>`. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records, trust_seconds: float = 0.0) -> None:
        """`trust_seconds`: how long a policy that was read is trusted, which may have changed meanwhile."""
        self._records = records
        self._trusted = Recent[ReadingPolicy](trust_seconds)

    def of(self, client: str) -> ReadingPolicy:
        """Return the client's policy; one without groups where the operator has set none."""
        return self._trusted.get(client, lambda: self._read(client))

    def put(self, client: str, policy: ReadingPolicy) -> None:
        """Set the client's policy."""
        self.change(client, lambda _: policy)

    def change(self, client: str, change: Callable[[ReadingPolicy], ReadingPolicy]) -> ReadingPolicy:
        """Replace the client's policy by what `change` makes of it, and return it."""

        def changed(record: bytes | None) -> bytes:
            return json.dumps(asdict(change(_policy(record) if record else ReadingPolicy()))).encode()

        written = self._records.change(f"{_PREFIX}{client}/", changed)
        assert written
        return self._trusted.put(client, _policy(written))

    def _read(self, client: str) -> ReadingPolicy:
        record = self._records.read(f"{_PREFIX}{client}/")
        return _policy(record) if record else ReadingPolicy()


def _policy(record: bytes) -> ReadingPolicy:
    raw = json.loads(record)
    known = {f.name: raw[f.name] for f in fields(ReadingPolicy) if f.name in raw}
    typed = {"groups": tuple(raw["groups"]), "mode": Mode(raw["mode"]), "wish": Wish(raw["wish"])}
    return ReadingPolicy(**known | typed)


def _drawn(job_id: str) -> float:
    """Return a number from 0 to 1 that is always the same for a job."""
    return int.from_bytes(hashlib.sha256(f"{job_id} sample".encode()).digest()[:6], "big") / 2**48
