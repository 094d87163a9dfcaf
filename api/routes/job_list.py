"""Reads one page of a client's jobs, newest first, by state, reference and time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import Annotated, TypedDict

from api.http.moment import moment
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.record.documents import MOMENT, JobDocument
from jobs.record.ids import first_id, is_id
from jobs.record.job import Job
from jobs.record.states import SEEN, State
from jobs.store.ledger import Ledger

_PAGE = 50
MOST_A_PAGE = 100
MOST_LOOKED_AT = 200
"""Jobs that one request reads at most while it filters; the cursor continues after the last of them."""


class JobList(TypedDict):
    """One page of a list of jobs."""

    jobs: list[JobDocument]
    next_cursor: str | None


class Listing(TypedDict, total=False):
    """The query of a list of jobs."""

    state: State
    reference: Annotated[str, "Only jobs with exactly this reference."]
    created_after: Annotated[str, MOMENT, "Only jobs made at this time or later; ISO 8601 with its zone."]
    created_before: Annotated[str, MOMENT, "Only jobs made before this time."]
    limit: Annotated[int, {"minimum": 1, "maximum": MOST_A_PAGE, "default": _PAGE}]
    cursor: Annotated[str, "The `next_cursor` of an earlier answer."]


@dataclass(frozen=True)
class WantedJobs:
    """The jobs that a client asks for: at most `limit`, made at `after` or later and before `before`."""

    states: tuple[State, ...]
    reference: str | None
    after: datetime | None
    before: datetime | None
    limit: int
    cursor: str | None

    def fits(self, job: Job) -> bool:
        """Return whether the job has a wanted state and reference. Its time is compared by its id."""
        return job.state in self.states and self.reference in (None, job.reference)


def page_of(client: str, wanted: WantedJobs, ledger: Ledger) -> tuple[list[Job], str | None]:
    """Read a page of the wanted jobs, and the cursor of the next page: the last id of this one, or None.

    A job that arrives later is newer than every cursor, so that no page shifts.
    """
    starts = [wanted.cursor, first_id("job", wanted.before) if wanted.before else None]
    ids = ledger.of_client(client, min(filter(None, starts), default=None))
    if wanted.after:
        oldest = first_id("job", wanted.after)
        ids = takewhile(lambda job_id: job_id >= oldest, ids)
    looked_at = list(islice(ids, MOST_LOOKED_AT + 1))
    page: list[Job] = []
    for job in ledger.current_many(looked_at[:MOST_LOOKED_AT]):
        if wanted.fits(job):
            if len(page) == wanted.limit:
                return page, page[-1].id
            page.append(job)
    return page, looked_at[MOST_LOOKED_AT - 1] if len(looked_at) > MOST_LOOKED_AT else None


def wanted_jobs(given: Mapping[str, str]) -> WantedJobs:
    """Read the query of a listing. Raises Problem 400."""
    unknown = sorted(given.keys() - Listing.__annotations__.keys())
    if unknown:
        raise Problem(Slug.MALFORMED, f"Unknown parameter: {', '.join(unknown)[:200]}.")
    cursor = given.get("cursor")
    if cursor is not None and not is_id("job", cursor):
        raise Problem(Slug.MALFORMED, "`cursor` is the `next_cursor` of an earlier answer.")
    limit = given.get("limit", str(_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= MOST_A_PAGE):
        raise Problem(Slug.MALFORMED, f"`limit` is a number between 1 and {MOST_A_PAGE}.")
    if given.get("state", SEEN[0]) not in SEEN:
        raise Problem(Slug.MALFORMED, f"`state` is one of: {', '.join(SEEN)}.")
    return WantedJobs(
        states=(State(given["state"]),) if "state" in given else SEEN,
        reference=given.get("reference"),
        after=moment("created_after", given["created_after"]) if "created_after" in given else None,
        before=moment("created_before", given["created_before"]) if "created_before" in given else None,
        limit=int(limit),
        cursor=cursor,
    )
