"""Makes a repeated submission one job, by its idempotency key or by the id that the client chose."""

import re
from collections.abc import Mapping
from datetime import timedelta

from flask import Request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.record.errors import Conflict, NotStored
from jobs.record.ids import is_id
from jobs.record.job import LEFTOVER_GRACE, Job, moment_text
from jobs.record.states import State
from jobs.store.claims import Claim, idempotency_claim_key, own_id_claim_key
from jobs.store.ledger import Ledger

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
OWN_ID = re.compile(r"(?!job_)[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")

INTAKE = timedelta(seconds=5)
"""A claim without a job is treated as in intake for this time. A later request then continues under the same
job id. If the first request is still at work, both write the same."""
ABANDONED = LEFTOVER_GRACE / 2
"""A claim without a job is void after this time, because the objects of its job id may be erased soon."""


def claim_key(request: Request, client: str, own_id: str | None) -> str | None:
    """Return the object key of the submission's claim; None for neither idempotency key nor own id.

    Raises Problem 400 for a malformed key or id.
    """
    key = request.headers.get(HEADER)
    if own_id is not None:
        if key is not None:
            raise Problem(Slug.MALFORMED, f"Your own id in the path is the key: leave {HEADER} out.")
        if not OWN_ID.fullmatch(own_id):
            detail = (
                "An id of your own has up to 128 letters, digits, '.', '_', '~' and '-', begins with a letter"
                " or a digit, and not with 'job_'."
            )
            raise Problem(Slug.MALFORMED, detail)
        return own_id_claim_key(client, own_id)
    if key is None:
        return None
    if not KEY.fullmatch(key):
        raise Problem(Slug.MALFORMED, f"{HEADER} takes 1 to 255 printable ASCII characters.")
    return idempotency_claim_key(client, key)


def id_of(text: str, client: str, ledger: Ledger) -> str | None:
    """Return the job id that `text` names, which is an id of the service or of the client; or None."""
    if is_id("job", text):
        return text
    claim = ledger.claims.read(own_id_claim_key(client, text)) if OWN_ID.fullmatch(text) else None
    return claim.job_id if claim else None


def take_claim(mine: Claim, ledger: Ledger) -> tuple[Claim, Job | None]:
    """Take the claim `mine`, or find the valid claim at its key.

    Returns the valid claim, and its job. Without a job, the caller accepts the submission under the job id of
    the claim. Raises Problem: 409 while the same submission is in intake, 422 for a claim of another payload.
    """
    found = ledger.claims.read(mine.key)
    if found and not found.over(mine.claimed_at):
        job, age = _job_of(found, ledger), mine.claimed_at - found.claimed_at
        if (job or age < ABANDONED) and found.payload != mine.payload:
            detail = "This key or id was used for another submission. Take a new one for a new radiograph."
            raise Problem(Slug.KEY_REUSED, detail)
        if job or INTAKE <= age < ABANDONED:
            return found, job
        if age < INTAKE:
            raise _in_intake()
    try:
        ledger.claims.take(mine, void=found)
    except Conflict as conflict:
        raise _in_intake() from conflict
    return mine, None


def headers_of(claim: Claim, repeated: bool) -> Mapping[str, str]:
    """Return the headers about a claim: whether the answer repeats an earlier one, and until when it will."""
    headers = {"Idempotency-Replayed": "true"} if repeated else {}
    return headers | ({"Idempotency-Expires": moment_text(claim.expires_at)} if claim.expires_at else {})


def _job_of(claim: Claim, ledger: Ledger) -> Job | None:
    try:
        job = ledger.current(claim.job_id)
    except NotStored:
        return None
    if job.state is State.ERASED:
        raise _in_intake()  # Its claim is deleted next.
    return job


def _in_intake() -> Problem:
    detail = "The same submission is being taken in at this moment. Send it again to get its job."
    return Problem(Slug.IN_INTAKE, detail, retry_after=1)
