"""The route by which a client lists its jobs, newest first, by state, reference and time."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile

from flask import Blueprint, Response, g, jsonify, request

from api.http.moment import moment
from api.http.problem import Problem
from api.openapi.describe import Answer, describe
from api.routes.job_answers import job_document
from api.routes.job_types import MOST_A_PAGE, PAGE, JobList, Listing
from jobs.record.ids import first_id, is_id
from jobs.record.job import Job
from jobs.record.states import SEEN, State
from jobs.store.ledger import Ledger

MOST_LOOKED_AT = 200
"""Jobs that one request looks at while it filters; the cursor goes on behind them."""


@dataclass(frozen=True)
class Wanted:
    """Which jobs, and how many of them: those made at `after` or later, and before `before`."""

    states: tuple[State, ...]
    reference: str | None
    after: datetime | None
    before: datetime | None
    limit: int
    cursor: str | None

    def fits(self, job: Job) -> bool:
        """Whether this job is wanted; its time is seen to by its id."""
        return job.state in self.states and self.reference in (None, job.reference)


def list_routes(ledger: Ledger, public_url: str) -> Blueprint:
    """The blueprint of this route. `g.client` holds the authenticated client."""
    routes = Blueprint("list", __name__, url_prefix="/v1/jobs")

    @routes.get("")
    @describe(
        "listJobs",
        "The client's jobs, newest first",
        {200: Answer("One page.", JobList)},
        ("malformed",),
        description="Pages do not shift while jobs arrive: what is new stands before every cursor. A page may"
        " hold fewer jobs than `limit`, or none, and yet have a `next_cursor`.",
        query=Listing,
    )
    def list_jobs() -> Response:
        page, behind = _page(_wanted(), ledger)
        documents = [job_document(job, ledger, public_url) for job in page]
        return jsonify(jobs=documents, next_cursor=behind)

    return routes


def _page(wanted: Wanted, ledger: Ledger) -> tuple[list[Job], str | None]:
    """The wanted jobs, and the id of the job behind which the next page begins, if there may be one.

    What arrives meanwhile is newer than every cursor, so no page shifts.
    """
    starts = [wanted.cursor, first_id("job", wanted.before) if wanted.before else None]
    ids = ledger.of_client(g.client, min(filter(None, starts), default=None))
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


def _wanted() -> Wanted:
    given = request.args
    unknown = sorted(given.keys() - Listing.__annotations__.keys())
    if unknown:
        raise Problem(400, "malformed", f"Unknown parameter: {', '.join(unknown)[:200]}.")
    cursor = given.get("cursor")
    if cursor is not None and not is_id("job", cursor):
        raise Problem(400, "malformed", "`cursor` is the `next_cursor` of an earlier answer.")
    limit = given.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= MOST_A_PAGE):
        raise Problem(400, "malformed", f"`limit` is a number between 1 and {MOST_A_PAGE}.")
    if given.get("state", SEEN[0]) not in SEEN:
        raise Problem(400, "malformed", f"`state` is one of: {', '.join(SEEN)}.")
    return Wanted(
        states=(State(given["state"]),) if "state" in given else SEEN,
        reference=given.get("reference"),
        after=moment("created_after", given["created_after"]) if "created_after" in given else None,
        before=moment("created_before", given["created_before"]) if "created_before" in given else None,
        limit=int(limit),
        cursor=cursor,
    )
