"""What clients and readers do with readings: the JSON routes and the pages call the same functions."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.people import People
from api.intake.reading_limits import refuse_beyond_quota
from api.readings.access import ReadingAccess, no_such_reading
from api.readings.signature import Signatures, Signer
from jobs.lifecycle.reading_request import url_of_readings
from jobs.reading.arbitration import arbitrate
from jobs.reading.disagreement import disagreement, graded
from jobs.reading.events import tell
from jobs.reading.policy import Policies
from jobs.reading.reader import Reader
from jobs.reading.reading import Reading, no_reading_because
from jobs.reading.readings import Readings, reading_id_of
from jobs.reading.report import ReportInvalid, checked_draft, checked_finding, checked_report, words
from jobs.reading.states import Mode, ReadingState
from jobs.record.errors import IllegalMove, NotStored, TransientError
from jobs.record.job import Job, moment_text, now
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.stores import Stores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadingActions(ReadingAccess):
    """What may be done with readings. Every method raises Problem, and TransientError of the stores."""

    queue: JobQueue
    policies: Policies
    signatures: Signatures

    @classmethod
    def over(cls, settings: Settings, stores: Stores, people: People) -> Self:
        """Make them over these stores."""
        return cls(
            stores.ledger,
            Readings(stores.ledger),
            stores.queue,
            Policies(stores.records, settings.key_seconds),
            Signatures(people.codes, Signer(stores.signing_key), stores.objects),
        )

    def request(self, job: Job, **wishes: Any) -> tuple[Reading, bool]:
        """Request a reading of a client's job. Returns it, and whether it is new.

        While a reading of the job is open it is returned instead. The callback URL is that of the job or its
        study, unless the wishes have one.
        """
        if no_reading_because(job):
            detail = "The job was canceled, or its image does not decode. Send the radiograph again."
            raise Problem(Slug.JOB_FAILED, detail, error=job.error)
        policy = self.policies.of(job.client)
        if not policy.groups:
            raise Problem(Slug.NOT_READ, "No reader reads for this client. The operator sets who does.")
        present = [one for one in self.readings.of_job(job.id) if not one.arbitrates]
        for one in present:
            if one.state.open:
                return one, False
        refuse_beyond_quota(job.client, policy, self.ledger.view.reading_figures)
        if seconds := wishes.pop("due_seconds", None):
            wishes["due_at"] = now() + timedelta(seconds=seconds)
        try:
            # The number decides the id, so that two requests at once make one reading. Until the job has
            # ended its first number is left to the reading that its own wish may ask for then.
            free = reading_id_of(job) not in {one.id for one in present}
            left = free and (job.reading is None or job.state.final)
            number = 0 if left else len(present) + free
            wishes["callback_url"] = wishes.get("callback_url") or url_of_readings(job, self.ledger)
            reading = self.readings.request(job, policy, reading_id_of(job, number), **wishes)
        except NotStored as error:
            raise Problem(Slug.GONE, "This job was deleted, with all that belonged to it.") from error
        return self._told(reading), True

    def cancel(self, reading: Reading) -> Reading:
        """Cancel an open reading."""
        return self._change(reading, lambda present: present.canceled(now()))

    def claim(self, reading: Reading, reader: Reader) -> Reading:
        """Give the reading to this reader: the first one gets it."""
        if reading.state is ReadingState.CLAIMED and reading.reader == reader.id:
            return reading
        return self._change(reading, lambda present: present.claimed(reader.id, reader.name, now()), reader)

    def release(self, reading: Reading, reader: Reader) -> Reading:
        """Let the reading wait again, for any reader."""
        return self._change(self._own(reading, reader), lambda present: present.released(now()), reader)

    def give_back(self, reading: Reading, reader: Reader, reason: str, text: str) -> Reading:
        """Return the reading to its client, with a reason."""
        own = self._own(reading, reader)
        said = _valid(lambda: words(text))
        return self._change(own, lambda present: present.returned_for(reason, said, now()), reader)

    def save_draft(self, reading: Reading, reader: Reader, draft: dict[str, Any], version: int) -> Reading:
        """Save the draft of a report over this `version` of the reading. Raises Problem 412 for another."""

        kept = _valid(lambda: checked_draft(draft))

        def change(present: Reading) -> Reading:
            if present.version != version:
                raise _Changed(present.version)
            return present.drafted(kept, now())

        try:
            return self._change(self._own(reading, reader), change, reader, told=False)
        except _Changed as changed:
            detail = "The reading has changed since this draft was begun, perhaps in another window."
            raise Problem(Slug.DRAFT_CHANGED, detail, version=changed.version) from changed

    def commit(self, reading: Reading, reader: Reader, given: dict[str, Any]) -> Reading:
        """Commit the reader's first finding. The model's answer is shown from then on."""
        own, job = self._own(reading, reader), self.job_of(reading)
        found = _valid(lambda: checked_finding(given, job.image, job.acquisition))
        # A reader with a client may have sent the same radiograph for it, and read that answer.
        told = own.tells_answer or reader.client is not None or self.knows_answer(own.job, reader)
        blind = own.mode is Mode.BLIND and not told
        differs = _differs(found["finding"], found["sites"], job, None)
        return self._change(
            own,
            lambda present: present.committed_with(
                found["finding"], found["sites"], blind, differs, now(), found.get("measurements", ())
            ),
            reader,
            told=False,
        )

    def sign(
        self, reading: Reading, reader: Reader, given: dict[str, Any], code: str, grade: str | None = None
    ) -> Reading:
        """Sign the report. In assisted mode its finding is committed with it, if none was.

        Opens an arbitration where the reader's `grade` of the model's answer calls for one.
        """
        own, job = self._own(reading, reader), self.job_of(reading)
        report = _valid(lambda: checked_report(given, job.image, job.acquisition))
        if own.mode is Mode.BLIND and not own.committed:
            detail = "Commit a finding first: this reading is blind to the model's answer until then."
            raise Problem(Slug.READING_MOVED, detail)
        first = own.committed or report
        # Once more: the model may have ended after the finding was committed.
        differs = _differs(first["finding"], first["sites"], job, grade)
        signed = self.signatures.sign(own, job, reader, {**report}, code, None)

        def change(present: Reading) -> Reading:
            if not present.committed:
                present = present.committed_with(
                    first["finding"], first["sites"], False, differs, now(), first.get("measurements", ())
                )
            return present.signed(signed, differs, now())

        return self._change(own, change, reader)

    def amend(
        self, reading: Reading, reader: Reader, given: dict[str, Any], code: str, reason: str
    ) -> Reading:
        """Sign a later version of the report, with a reason."""
        if reading.reader != reader.id:
            raise Problem(Slug.READING_MOVED, "A report is amended by the reader who signed it.")
        if not reading.reports:
            raise Problem(Slug.READING_MOVED, "There is no signed report to amend.")
        job = self.job_of(reading)
        report = _valid(lambda: checked_report(given, job.image, job.acquisition))
        if not (why := _valid(lambda: words(reason))[:500]):
            raise Problem(Slug.REPORT_INVALID, "Say with `reason` why the report is amended.")
        signed = self.signatures.sign(reading, job, reader, {**report}, code, why)

        def change(present: Reading) -> Reading:
            if len(present.reports) != len(reading.reports):
                raise IllegalMove(f"{present.id} was amended meanwhile")
            return present.amended(signed, reader.id, now())

        return self._change(reading, change, reader)

    def _own(self, reading: Reading, reader: Reader) -> Reading:
        """Return the reading if this reader has claimed it. Raises Problem 409."""
        if reading.state is not ReadingState.CLAIMED:
            raise Problem(
                Slug.READING_MOVED, f"The reading is {reading.state}. Claim it first, if it is open."
            )
        if reading.reader != reader.id:
            raise _claimed(reading)
        return reading

    def _change(
        self,
        reading: Reading,
        change: Callable[[Reading], Reading],
        reader: Reader | None = None,
        told: bool = True,
    ) -> Reading:
        def checked(present: Reading) -> Reading:
            if reader and present.state is ReadingState.CLAIMED and present.reader != reader.id:
                raise _claimed(present)
            return change(present)

        try:
            after = (self.readings.change if told else self.readings.save)(reading, checked)
        except IllegalMove as error:
            present = self.read(reading.id)
            if reader and reader.id in present.excluded:
                detail = "This reading decides a disagreement of yours: another reader has to do it."
                raise Problem(Slug.READING_MOVED, detail) from error
            detail = f"The reading is {present.state}, and does not allow this. Read it again."
            raise Problem(Slug.READING_MOVED, detail) from error
        except NotStored as error:
            raise no_such_reading() from error
        return self._told(after) if told else after

    def _told(self, reading: Reading) -> Reading:
        try:
            arbitrate(reading, self.ledger, self.queue)
            tell(reading, self.ledger, self.queue)
        except TransientError as error:
            log.warning("the sweeper will tell of this reading: %s", error, extra={"job": reading.job})
        return reading


class _Changed(Exception):
    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def disagreement_now(reading: Reading, job: Job) -> dict[str, Any] | None:
    """Return how the committed finding of a reading and the model's answer differ; None without a finding.

    Until the signature the model's answer of now counts: it may have come after the finding.
    """
    if not reading.committed or not reading.state.open:
        return reading.disagreement
    return _differs(reading.committed["finding"], reading.committed["sites"], job, None)


def _differs(finding: str, sites: Sequence[Mapping[str, Any]], job: Job, grade: str | None) -> dict[str, Any]:
    """Return how a committed finding and the model's answer to the job differ, with the reader's grade."""
    return {**graded(disagreement(finding, [{**site} for site in sites], job.result), grade)}


def _claimed(reading: Reading) -> Problem:
    return Problem(
        Slug.READING_CLAIMED,
        f"{reading.reader_name} works on this reading. Take another one.",
        reader_name=reading.reader_name,
        claimed_at=moment_text(reading.claimed_at) if reading.claimed_at else None,
    )


def _valid(check: Callable[[], Any]) -> Any:
    try:
        return check()
    except (ReportInvalid, TypeError, ValueError) as error:
        raise Problem(Slug.REPORT_INVALID, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
