"""Takes the forms of a reading: claim, release, return, draft, finding, signature, amendment.

Each works without script: it leads back to the page, or shows the page with what is wrong, and with all that
was typed. A script that asks for JSON gets the same as JSON.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from flask import Blueprint, g, jsonify, redirect, request
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.body_limits import takes_form
from api.reading_room.page import embed, room, wants_page
from api.reading_room.parts import Room
from api.reading_room.typed import Typed, draft_tag, invalid
from api.reading_room.viewer.pages import viewer_page
from api.readings.actions import ReadingActions
from jobs.reading.disagreement import GRADES
from jobs.reading.reader import Reader
from jobs.reading.reading import Reading
from jobs.reading.states import ReadingState
from jobs.record.job import moment_text, now

_TRIES = 5
"""How often a draft is saved anew because the reading changed in another way meanwhile."""
_AUDITED = {
    "claim": "claimReading",
    "release": "releaseReading",
    "return": "returnReading",
    "draft": "saveDraft",
    "commit": "commitFinding",
    "sign": "signReport",
    "amend": "amendReport",
}
_LEAVES = ("release", "return")
"""The acts after which the worklist is shown, except in a frame."""
_FIELDS = {
    "`finding`": "finding",
    "site": "sites",
    "measurement": "measurements",
    "`text`": "text",
    "`reason`": "reason",
}
"""What a report's problem speaks of, and the field of the form that it is shown beside."""


def add_report_forms(pages: Blueprint, parts: Room) -> None:
    """Add these forms to the reading room."""
    actions = parts.actions
    acts: dict[str, Callable[[Reading, Reader, Typed], Reading]] = {
        "claim": lambda reading, reader, _: actions.claim(reading, reader),
        "release": lambda reading, reader, _: actions.release(reading, reader),
        "return": lambda reading, reader, _: _return(actions, reading, reader),
        "draft": lambda reading, reader, typed: _save(actions, reading, reader, typed),
        "commit": lambda reading, reader, typed: _commit(actions, reading, reader, typed),
        "sign": lambda reading, reader, typed: _sign(actions, reading, reader, typed),
        "amend": lambda reading, reader, typed: _amend(actions, reading, reader, typed),
    }

    @pages.post("/readings/<reading_id>/<any(claim,release,return,draft,commit,sign,amend):act>")
    @takes_form()
    def do(reading_id: str, act: str) -> Response:
        reading, typed = actions.of_reader(reading_id, g.reader), Typed.of_form(request.form)
        g.acted_for = reading.client
        try:
            after = acts[act](reading, g.reader, typed)
        except Problem as problem:
            problem.extra.setdefault("field", _field_of(problem))
            shown = None if act in ("claim", *_LEAVES) else typed
            page = viewer_page(reading.job, parts, reading.id, shown, problem, act) if wants_page() else None
            if problem.status == HTTPStatus.FORBIDDEN:  # A wrong one-time code.
                g.action = _AUDITED[act]
            if page is None:
                raise
            return page
        g.action = _AUDITED[act]
        leads_to = room() if act in _LEAVES and not embed() else _page_of(after, parts)
        if wants_page():
            return redirect(leads_to, 303)
        response = jsonify(page=leads_to, saved_at=moment_text(now()))
        response.set_etag(draft_tag(after.draft))
        return response


def _page_of(reading: Reading, parts: Room) -> str:
    """Return the address of the report of this reading; where a job has several, it names which."""
    shown = parts.open(reading.job).reading_of(g.reader)
    if shown is None or shown.id == reading.id:
        return f"{room()}/{reading.job}{embed()}#report"
    named = f"{embed()}&reading" if embed() else "?reading"
    return f"{room()}/{reading.job}{named}={reading.id}#report"


def _field_of(problem: Problem) -> str:
    """Return the field of the form that a problem is shown beside."""
    if problem.slug is Slug.CODE_REFUSED:
        return "code"
    if problem.slug is Slug.REPORT_INVALID:
        named = {
            problem.detail.find(word): field for word, field in _FIELDS.items() if word in problem.detail
        }
        return named[min(named)] if named else "form"
    return "form"


def _return(actions: ReadingActions, reading: Reading, reader: Reader) -> Reading:
    reason, text = request.form.get("reason", ""), request.form.get("why", "").strip()
    if reason not in ("not_diagnostic", "wrong_side", "other_view"):
        raise invalid("return", "Choose why the reading goes back to the client.")
    if len(text) > 500:
        raise invalid("return", f"The explanation takes 500 characters; this has {len(text)}.")
    return actions.give_back(reading, reader, reason, text)


def _save(actions: ReadingActions, reading: Reading, reader: Reader, typed: Typed) -> Reading:
    """Save the draft over the one that the page was made with. Raises Problem 412 over another one."""
    known = request.if_match.as_set() or {request.form.get("tag", "")}
    # The draft of a save that this page has made and not heard of yet is no other one.
    known.add(draft_tag(typed.draft()))
    for _ in range(_TRIES):
        claimed = reading.state is ReadingState.CLAIMED and reading.reader == reader.id
        if claimed and draft_tag(reading.draft) not in known:
            break
        try:
            return actions.save_draft(reading, reader, typed.draft(), reading.version)
        except Problem as problem:
            if problem.slug is not Slug.DRAFT_CHANGED:
                raise
        # The reading changed in another way: it became overdue, say. The draft alone decides.
        reading = actions.of_reader(reading.id, reader)
    detail = (
        "Another window of yours has saved this report since. Nothing is lost: this window has your text, and"
        " the other one is stored. Save again to keep this text, or load the page again to see the other one."
    )
    raise Problem(Slug.DRAFT_CHANGED, detail, tag=draft_tag(reading.draft))


def _commit(actions: ReadingActions, reading: Reading, reader: Reader, typed: Typed) -> Reading:
    report = typed.report()
    saved = _save(actions, reading, reader, typed)
    with _over(saved):
        return actions.commit(saved, reader, report)


def _sign(actions: ReadingActions, reading: Reading, reader: Reader, typed: Typed) -> Reading:
    report, code, grade = typed.report(), _code(), typed.grade or None
    if grade not in (None, *GRADES):
        raise invalid("grade", "Choose one of the grades, or none.")
    saved = _save(actions, reading, reader, typed)
    with _over(saved):
        return actions.sign(saved, reader, report, code, grade)


@contextmanager
def _over(saved: Reading) -> Iterator[None]:
    """Tell the page which draft it has saved, where the act that follows is refused."""
    try:
        yield
    except Problem as problem:
        problem.extra["tag"] = draft_tag(saved.draft)
        raise


def _amend(actions: ReadingActions, reading: Reading, reader: Reader, typed: Typed) -> Reading:
    report, reason = typed.report(), request.form.get("reason", "").strip()
    if not reason or len(reason) > 500:
        raise invalid("reason", "Say in 1 to 500 characters why the report is amended.")
    return actions.amend(reading, reader, report, _code(), reason)


def _code() -> str:
    code = request.form.get("code", "").strip()
    if not code:
        raise Problem(Slug.CODE_REFUSED, "Type the one-time code of your authenticator app.", field="code")
    return code
