"""Defines the record of a reading: an immutable value with a version, and its legal changes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.reading.states import MOVES, CancelReason, Mode, ReadingState, Wish
from jobs.record.errors import IllegalMove
from jobs.record.job import Job, moment_text
from jobs.record.states import Priority, State

CLAIM_LASTS = timedelta(minutes=30)
"""Time after which a claim lapses in which no draft was saved."""
KEPT_OPEN = timedelta(days=7)
"""Time after its due time at which a reading that no reader signed expires."""
DUE_SECONDS = {Priority.STAT: 3_600, Priority.ROUTINE: 86_400, Priority.ARCHIVE: 7 * 86_400}
"""Seconds until a reading is due, where the client names none."""

MOST_CLAIMS, MOST_REPORTS = 20, 50
"""Most claims of one reading by one reader, and most versions of its report."""
_OF_A_CLAIM = ("reader", "reader_name", "claimed_at", "touched_at", "draft", "committed", "disagreement")


@dataclass(frozen=True, slots=True)
class Reading:
    """One version of the record of a reading.

    A change makes a new value with `version` one higher. A change that is not legal raises IllegalMove.
    """

    id: str
    job: str
    client: str
    groups: tuple[str, ...]
    """The groups of readers who may read it."""
    mode: Mode
    priority: Priority
    requested_at: datetime
    due_at: datetime
    version: int = 1
    state: ReadingState = ReadingState.REQUESTED
    question: str | None = None
    """The client's question. It may name a patient: it goes to readers alone, and into no log or callback."""
    wish: Wish = Wish.REQUESTED
    """Why it was requested: by itself, or because of what the model answered."""
    callback_url: str | None = None
    reader: str | None = None
    reader_name: str | None = None
    claimed_at: datetime | None = None
    touched_at: datetime | None = None
    """When its reader last saved a draft, or claimed it."""
    draft: dict[str, Any] | None = None
    committed: dict[str, Any] | None = None
    """The first finding: `finding`, `sites`, `measurements`, `at`, `reader`, and whether it was `blind`."""
    reports: tuple[dict[str, Any], ...] = ()
    """Every signed version: `number`, `report`, `reason`, `at`, `reader`, `reader_name`, `jws`."""
    disagreement: dict[str, Any] | None = None
    returned: dict[str, Any] | None = None
    canceled_because: str | None = None
    """A CancelReason, once it is canceled."""
    arbitrates: str | None = None
    """The reading whose disagreement this one decides."""
    excluded: tuple[str, ...] = ()
    """Readers who may not claim it."""
    history: tuple[dict[str, Any], ...] = ()
    """Every change: `type`, `at`, `reader`; of a committed finding also what was committed."""
    told: int = 0
    """How many entries of the history have become events."""
    later: dict[str, Any] = field(default_factory=dict)
    """Fields of a later version of this program. They are kept: both versions may run side by side."""

    def claimed(self, reader: str, name: str, now: datetime) -> "Reading":
        """Return the reading as this reader takes it."""
        if reader in self.excluded:
            raise IllegalMove(f"{self.id} is for another reader, who decides the disagreement")
        lapses = self.lapses_at()
        waiting = self.released(now, lapsed=True) if lapses and lapses <= now else self
        if sum(one["type"] == "claimed" and one["reader"] == reader for one in self.history) >= MOST_CLAIMS:
            raise IllegalMove(f"{self.id} was claimed by {reader} too often")
        return waiting._moved(
            ReadingState.CLAIMED, "claimed", now, reader, reader_name=name, claimed_at=now, touched_at=now
        )

    def released(self, now: datetime, lapsed: bool = False) -> "Reading":
        """Return the reading as it waits again, after its reader gave it up or the claim has `lapsed`.

        A finding that was committed stays in the history. The next reader commits anew.
        """
        freed = self._moved(ReadingState.REQUESTED, "lapsed" if lapsed else "released", now, self.reader)
        nothing: dict[str, Any] = dict.fromkeys(_OF_A_CLAIM)
        return replace(freed, **nothing)

    def drafted(self, draft: dict[str, Any], now: datetime) -> "Reading":
        """Return the reading with this draft of its report."""
        self._must_be_claimed()
        return replace(self, version=self.version + 1, draft=draft, touched_at=now)

    def committed_with(
        self,
        finding: str,
        sites: Sequence[Any],
        blind: bool,
        disagreement: dict[str, Any],
        now: datetime,
        measurements: Sequence[Any] = (),
    ) -> "Reading":
        """Return the reading with its first finding. `blind`: its reader had not seen the model's answer."""
        self._must_be_claimed()
        if self.committed:
            raise IllegalMove(f"{self.id} has a committed finding")
        first = {
            "finding": finding,
            "sites": list(sites),
            **({"measurements": list(measurements)} if measurements else {}),
            "at": moment_text(now),
            "reader": self.reader,
            "blind": blind,
        }
        return replace(
            self._noted("committed", now, self.reader, committed=first),
            committed=first,
            disagreement=disagreement,
            touched_at=now,
        )

    def signed(self, signed_report: dict[str, Any], disagreement: dict[str, Any], now: datetime) -> "Reading":
        """Return the reading with its first signed report, and the disagreement with the reader's grade."""
        if not self.committed:
            raise IllegalMove(f"{self.id} has no committed finding")
        signed = self._moved(ReadingState.SIGNED, "signed", now, self.reader)
        return replace(signed, reports=(signed_report,), disagreement=disagreement, draft=None)

    def amended(self, signed_report: dict[str, Any], reader: str, now: datetime) -> "Reading":
        """Return the reading with a later version of its report. The earlier ones stay."""
        if len(self.reports) >= MOST_REPORTS:
            raise IllegalMove(f"{self.id} has {MOST_REPORTS} versions of its report; request a new reading")
        amended = self._moved(ReadingState.AMENDED, "amended", now, reader)
        return replace(amended, reports=(*self.reports, signed_report))

    def returned_for(self, reason: str, text: str, now: datetime) -> "Reading":
        """Return the reading as its reader gives it back to the client."""
        why = {"reason": reason, "text": text, "at": moment_text(now), "reader": self.reader}
        return replace(self._moved(ReadingState.RETURNED, "returned", now, self.reader), returned=why)

    def canceled(self, now: datetime, because: CancelReason = CancelReason.CLIENT) -> "Reading":
        """Return the reading as canceled."""
        return self._moved(ReadingState.CANCELED, "canceled", now, None, canceled_because=because)

    def expired(self, now: datetime) -> "Reading":
        """Return the reading as expired."""
        return self._moved(ReadingState.EXPIRED, "expired", now, None)

    def told_overdue(self, now: datetime) -> "Reading":
        """Return the reading with the note that it is overdue."""
        return self._noted("overdue", now, None, state=str(self.state))

    def told_until(self, number: int) -> "Reading":
        """Return the reading whose first `number` entries of the history have become events."""
        # No new version: a reader or client sees no change. Two sweepers may be at it.
        return replace(self, told=max(self.told, number))

    def overdue(self, at: datetime) -> bool:
        """Whether it is still open after its due time."""
        return self.state.open and self.due_at <= at

    @property
    def changed_at(self) -> datetime:
        """When it changed last: of a reading that is not open, when it ended or was amended."""
        return datetime.fromisoformat(self.history[-1]["at"])

    def lapses_at(self) -> datetime | None:
        """Return when its claim lapses unless its reader saves a draft; None without a claim."""
        claimed = self.state is ReadingState.CLAIMED and self.touched_at
        return self.touched_at + CLAIM_LASTS if claimed and self.touched_at else None

    def hides_answer_from(self, reader: str, groups: frozenset[str]) -> bool:
        """Whether this reader may see nothing of the model's answer, because a blind finding is still due."""
        committed = self.committed is not None and self.committed["reader"] == reader
        return (
            self.mode is Mode.BLIND and self.state.open and bool(groups & set(self.groups)) and not committed
        )

    @property
    def tells_answer(self) -> bool:
        """Whether the reading exists because of the model's answer, so that no finding in it is blind."""
        return self.wish in (Wish.IF_POSITIVE, Wish.IF_INDETERMINATE)

    def _must_be_claimed(self) -> None:
        if self.state is not ReadingState.CLAIMED:
            raise IllegalMove(f"{self.id} is {self.state}")

    def _moved(
        self, to: ReadingState, event: str, now: datetime, reader: str | None, **changes: Any
    ) -> "Reading":
        if to not in MOVES[self.state]:
            raise IllegalMove(f"{self.id}: {self.state} -> {to}")
        kept = {"reader": reader or self.reader}
        return replace(self._noted(event, now, reader), state=to, **kept | changes)

    def _noted(self, event: str, now: datetime, reader: str | None, **more: Any) -> "Reading":
        entry = {"type": event, "at": moment_text(now), "reader": reader, **more}
        return replace(self, version=self.version + 1, history=(*self.history, entry))


def no_reading_because(job: Job) -> CancelReason | None:
    """Return None where a person can read this job, else the reason why none can.

    A job that expired, or failed for any other reason, has an image that a reader may open.
    """
    if job.state is State.CANCELED:
        return CancelReason.JOB_CANCELED
    if job.error and job.error["type"] == "unreadable-image":
        return CancelReason.IMAGE_UNREADABLE
    return None
