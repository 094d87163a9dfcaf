"""Says which readings and radiographs a client and a reader may see, and what is hidden from a reader."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.reading.reader import Reader
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings
from jobs.record.errors import NotStored
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.store.ledger import Ledger


@dataclass(frozen=True)
class ReadingAccess:
    """What may be seen. Every method raises Problem, and TransientError of the stores."""

    ledger: Ledger
    readings: Readings

    def of_client(self, reading_id: str, client: str) -> Reading:
        """Return a reading of this client's."""
        reading = self.read(reading_id)
        if reading.client != client:
            raise no_such_reading()
        return reading

    def of_reader(self, reading_id: str, reader: Reader) -> Reading:
        """Return a reading that this reader may see."""
        reading = self.read(reading_id)
        if not reader.reads_for(frozenset(reading.groups)) and reading.reader != reader.id:
            raise no_such_reading()
        return reading

    def worklist(self, reader: Reader) -> list[Reading]:
        """List the open readings of the reader's groups: overdue, then urgent ones, then those due first."""
        at = now()
        found = [one for one in self.readings.open(reader.groups) if reader.id not in one.excluded]
        return sorted(found, key=lambda one: (not one.overdue(at), one.priority.order, one.due_at))

    def signed_by(self, reader: Reader, most: int) -> list[Reading]:
        """List the readings that the reader signed last."""
        return self.readings.signed_by(reader.id, most)

    def job_of_reader(self, job_id: str, reader: Reader) -> tuple[Job, list[Reading]]:
        """Return a job that this reader may open, and its readings as far as the reader may see them."""
        try:
            job = self.ledger.current(job_id)
        except (NotStored, ValueError):
            raise no_such_job() from None
        readings = [
            reading
            for reading in self.readings.of_job(job_id)
            if reader.reads_for(frozenset(reading.groups)) or reading.reader == reader.id
        ]
        if job.state is State.ERASED or (reader.client != job.client and not readings):
            raise no_such_job()
        return job, readings

    def answer_hidden(self, job_id: str, reader: Reader) -> bool:
        """Whether the model's answer to the job is hidden from the reader.

        It is while a blind finding of the reader's is due for the job, or for another view of its study.
        """
        return any(
            reading.hides_answer_from(reader.id, reader.groups)
            for view in self._views(job_id)
            for reading in self.readings.of_job(view)
        )

    def note_seen(self, job: Job, reader: Reader) -> None:
        """Write down that the reader has seen the model's answer."""
        self.readings.note_seen(job.id, reader.id)

    def _views(self, job_id: str) -> Sequence[str]:
        """Return the ids of the jobs of the same study, or that of the job alone."""
        with suppress(NotStored):
            study = self.ledger.current(job_id).study
            return self.ledger.current(study).members if study else (job_id,)
        return (job_id,)

    def knows_answer(self, job_id: str, reader: Reader) -> bool:
        """Return whether the reader has seen the model's answer to any view of the job's study."""
        return any(self.readings.has_seen(view, reader.id) for view in self._views(job_id))

    def read(self, reading_id: str) -> Reading:
        """Return the reading of this id, of any client."""
        try:
            return self.readings.read(reading_id)
        except NotStored as error:
            raise no_such_reading() from error

    def job_of(self, reading: Reading) -> Job:
        """Return the job that is read."""
        try:
            return self.ledger.current(reading.job)
        except NotStored as error:
            raise no_such_reading() from error


def no_such_reading() -> Problem:
    """Make the problem of a reading that is not there, or is not the caller's."""
    return Problem(Slug.NO_SUCH_READING, "There is no such reading. Check the id, and whose key it is.")


def no_such_job() -> Problem:
    """Make the problem of a job that a reader may not open."""
    return Problem(Slug.NO_SUCH_JOB, "There is no such job, or it is not yours to read.")
