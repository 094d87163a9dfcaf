"""Brings together what the pages of the reading room need, and opens the job that a page is of."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from flask import g

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.http.slots import Slots
from api.http.threads import STREAMS, STREAMS_OF_ONE
from api.identity.people import People
from api.intake.accept import Intake
from api.reading_room.viewer.answer import shown_answer
from api.reading_room.viewer.single_flight import SingleFlight
from api.readings.actions import ReadingActions
from api.results.pixels import PixelAnswers
from api.routes.waiting import Waiting
from jobs.reading.reader import Reader
from jobs.reading.reading import Reading
from jobs.record.ids import is_id
from jobs.record.job import Job
from jobs.store.ledger import Ledger
from jobs.store.recent import Recent

_NOTED_SECONDS = 3600


@dataclass(frozen=True)
class Opened:
    """A job that a reader has opened, with the readings that the reader may see, oldest first."""

    job: Job
    readings: list[Reading]
    hidden: bool
    """Whether the model's answer is hidden from the reader."""

    def reading_of(self, reader: Reader, named: str = "") -> Reading | None:
        """Return the reading that is `named`; else that which the reader works on, may work on, or signed.

        Else the last one, if any.
        """

        def place(reading: Reading) -> int:
            mine = reading.reader == reader.id
            if reading.state.open:
                return 0 if mine else 1 if reader.id not in reading.excluded else 3
            return 2 if mine else 3

        first = min(reversed(self.readings), key=place, default=None)
        return next((reading for reading in self.readings if reading.id == named), first)


@dataclass(frozen=True)
class Room:
    """What the pages are made of."""

    actions: ReadingActions
    intake: Intake
    waiting: Waiting
    pixels: PixelAnswers
    people: People
    pages_of_readers: Slots = field(default_factory=lambda: Slots(STREAMS, STREAMS_OF_ONE))
    """The pages that wait for news: no reader takes the places of others, or those of clients."""
    noted: Recent[bool] = field(default_factory=lambda: Recent[bool](_NOTED_SECONDS))
    """The jobs and readers of whom it is written down that the reader has seen the answer."""

    reads: SingleFlight = field(default_factory=SingleFlight)
    """The reads of radiographs from the store."""

    @property
    def ledger(self) -> Ledger:
        """Return the ledger."""
        return self.actions.ledger

    def opened(self, job_ids: Iterable[str]) -> list[Opened]:
        """Open those of the jobs that the reader of this request may open."""
        opened = []
        for job_id in job_ids:
            with suppress(Problem):
                opened.append(self.open(job_id))
        return opened

    def open(self, job_id: str) -> Opened:
        """Open a job for the reader of this request. Raises Problem 404."""
        if not is_id("job", job_id):
            raise Problem(Slug.NO_SUCH_JOB, "There is no such radiograph, or it is not yours to open.")
        job, readings = self.actions.job_of_reader(job_id, g.reader)
        g.acted_for = job.client
        return Opened(job, readings, self.actions.answer_hidden(job.id, g.reader))

    def answer(self, opened: Opened) -> dict[str, Any] | None:
        """Return the model's answer to a job for its reader, and write down that it is seen.

        None while it is hidden, and where there is none.
        """
        if opened.hidden or opened.job.result is None:
            return None
        self.note_seen(opened.job)
        return shown_answer(opened.job.result, self.ledger.objects)

    def note_seen(self, job: Job) -> None:
        """Write down that the reader of this request has seen the model's answer."""

        def note() -> bool:
            self.actions.note_seen(job, g.reader)
            g.setdefault("answers_seen", []).append(job)  # For the audit log.
            return True

        self.noted.get(f"{job.id} {g.reader.id}", note)
