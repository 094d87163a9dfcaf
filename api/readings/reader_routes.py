"""Serves readings to readers, by a reader key: worklist, claim, draft, finding, signature, return.

The pages of the reading room call the same actions.
"""

from typing import Annotated, cast

from flask import Blueprint, Response, g, jsonify, request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.openapi.describe import Answer, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from api.readings.actions import ReadingActions, disagreement_now
from api.readings.bodies import Amendment, Draft, Finding, ReturnOrder, Signature
from api.readings.client_routes import ReadingList, name_version, reading_answer
from api.readings.formats import READING_FORMATS, reading_in_format
from api.results.formats import JSON, ResultQuery, accepted_format
from jobs.reading.disagreement import Disagreement
from jobs.reading.documents import Commitment, ReadingDocument, reading_document
from jobs.reading.reader import Reader
from jobs.reading.reading import Reading
from jobs.record.job import now

_OWN = (Slug.NO_SUCH_READING, Slug.READING_CLAIMED, Slug.READING_MOVED)
_FORMATS = (
    "The Accept header selects the format. DICOM is available for a signed reading of a DICOM image of a"
    " study. The signature is a JWS by a key of `/.well-known/jwks.json`. It is no qualified electronic"
    " signature."
)


def reader_routes(actions: ReadingActions, public_url: str) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("readings", __name__, url_prefix="/v1/readings")
    answer = {200: Answer("The reading.", ReadingDocument, ("ETag",))}

    def readers_answer(reading: Reading) -> Response:
        """Make an answer of a reading as its reader sees it: with the draft."""
        document = readers_document(reading, actions, public_url)
        response = jsonify(document)
        name_version(response, reading)
        return response

    def own(reading_id: str) -> Reading:
        if "reader" not in g:
            actions.of_client(reading_id, g.caller.client)  # 404 comes before 403.
        reading = actions.of_reader(reading_id, _reader())
        g.acted_for = reading.client
        return reading

    @routes.get("")
    @describe(
        "listReadings",
        "List the open readings of the reader's groups, those to do first first",
        {200: Answer("The readings: overdue ones, then `stat`, then those due soonest.", ReadingList)},
        readers=True,
    )
    def worklist() -> Response:
        found = actions.worklist(_reader())
        return jsonify(readings=[readers_document(reading, actions, public_url) for reading in found])

    @routes.get("/<reading_id>")
    @describe(
        "getReading",
        "Get a reading, with its report once it is signed, as JSON, FHIR or DICOM",
        {
            200: Answer("The reading. As JSON it has an ETag.", READING_FORMATS, ("ETag", "Vary")),
            304: Answer("The reading has not changed."),
        },
        (
            *(Slug.NO_SUCH_READING, Slug.MALFORMED, Slug.NOT_ACCEPTABLE, Slug.READING_MOVED),
            *(Slug.ANSWER_HIDDEN, Slug.OBJECT_MISSING),
        ),
        query=ResultQuery,
        headers=("If-None-Match",),
        description=_FORMATS,
        readers=True,
    )
    def show(reading_id: str) -> Response:
        reader: Reader | None = g.get("reader")
        reading = own(reading_id) if reader else actions.of_client(reading_id, g.caller.client)
        wanted = accepted_format(READING_FORMATS)
        if wanted != JSON:
            response = reading_in_format(wanted, reading, reader, actions, public_url)
        else:
            response = readers_answer(reading) if reader else reading_answer(reading, public_url)
            response.make_conditional(request)
        response.vary.add("Accept")
        return response

    @routes.post("/<reading_id>/claim")
    @describe(
        "claimReading",
        "Claim a reading: the first reader gets it. The claim lapses 30 minutes after the last draft",
        answer,
        _OWN,
        readers=True,
    )
    def claim(reading_id: str) -> Response:
        return readers_answer(actions.claim(own(reading_id), g.reader))

    @routes.post("/<reading_id>/release")
    @describe("releaseReading", "Give a claimed reading up, for other readers", answer, _OWN, readers=True)
    def release(reading_id: str) -> Response:
        return readers_answer(actions.release(own(reading_id), g.reader))

    @routes.put("/<reading_id>/draft")
    @describe(
        "saveDraft",
        "Save the draft of a report",
        answer,
        (*_OWN, Slug.DRAFT_CHANGED, Slug.REPORT_INVALID),
        headers=("If-Match",),
        body=Annotated[Draft, CLOSED],
        readers=True,
    )
    def save_draft(reading_id: str) -> Response:
        reading, draft = own(reading_id), json_body()["draft"]
        return readers_answer(actions.save_draft(reading, g.reader, draft, matched_version()))

    @routes.post("/<reading_id>/commit")
    @describe(
        "commitFinding",
        "Commit the first finding. In a blind reading the model's answer is shown from then on",
        answer,
        (*_OWN, Slug.REPORT_INVALID),
        body=Annotated[Finding, CLOSED],
        readers=True,
    )
    def commit(reading_id: str) -> Response:
        return readers_answer(actions.commit(own(reading_id), g.reader, json_body()))

    @routes.post("/<reading_id>/sign")
    @describe(
        "signReport",
        "Sign the report with a one-time code",
        answer,
        (*_OWN, Slug.REPORT_INVALID, Slug.CODE_REFUSED),
        body=Annotated[Signature, CLOSED],
        readers=True,
    )
    def sign(reading_id: str) -> Response:
        reading, given = own(reading_id), json_body()
        signed = actions.sign(reading, g.reader, given["report"], given["code"], given.get("grade"))
        return readers_answer(signed)

    @routes.post("/<reading_id>/amend")
    @describe(
        "amendReport",
        "Sign a later version of a report, with a reason. The earlier versions stay",
        answer,
        (*_OWN, Slug.REPORT_INVALID, Slug.CODE_REFUSED),
        body=Annotated[Amendment, CLOSED],
        readers=True,
    )
    def amend(reading_id: str) -> Response:
        reading, given = own(reading_id), json_body()
        amended = actions.amend(reading, g.reader, given["report"], given["code"], given["reason"])
        return readers_answer(amended)

    @routes.post("/<reading_id>/return")
    @describe(
        "returnReading",
        "Return a reading to its client, with a reason",
        answer,
        (*_OWN, Slug.REPORT_INVALID),
        body=Annotated[ReturnOrder, CLOSED],
        readers=True,
    )
    def give_back(reading_id: str) -> Response:
        reading, given = own(reading_id), json_body()
        returned = actions.give_back(reading, g.reader, given["reason"], given.get("text", ""))
        return readers_answer(returned)

    return routes


def _reader() -> Reader:
    """Return the reader who makes this request. Raises Problem 403 for a request by an API key."""
    if "reader" not in g:
        raise Problem(Slug.INSUFFICIENT_SCOPE, "This takes the key of a reader.", scope="reader")
    reader: Reader = g.reader
    return reader


def readers_document(reading: Reading, actions: ReadingActions, public_url: str) -> ReadingDocument:
    """Return the JSON of a reading as this reader sees it: with the draft, without a hidden answer."""
    document = reading_document(reading, now(), public_url)
    if reading.reader == g.reader.id:
        document["draft"] = reading.draft
    own = reading.committed is not None and reading.reader == g.reader.id
    telling = own or reading.reports or reading.arbitrates
    hidden = bool(telling) and actions.answer_hidden(reading.job, g.reader)
    if own:
        document["committed"] = cast(Commitment, reading.committed)
        # Of another blind reading of the job it would tell the answer.
        differs = None if hidden else disagreement_now(reading, actions.job_of(reading))
        document["disagreement"] = cast(Disagreement | None, differs)
    elif hidden:
        # What another reader found, and whether the model agreed, would show the answer.
        document["committed"] = document["disagreement"] = document["report"] = None
        document["reports"] = []
    if hidden:  # An arbitration is opened where a reader disagrees with the model.
        document["arbitrates"] = None
    if document["disagreement"] and actions.job_of(reading).result:  # It tells what the model answered.
        actions.readings.note_seen(reading.job, g.reader.id)
    return document


def matched_version() -> int:
    """Return the version that `If-Match` names. Raises Problem 400 without one."""
    tags = {tag.partition(".")[0] for tag in request.if_match.as_set()}
    tags = {tag for tag in tags if tag.isascii() and tag.isdigit() and len(tag) < 9}
    if len(tags) != 1:
        raise Problem(Slug.MALFORMED, "Send `If-Match` with the `ETag` of the reading that was read last.")
    return int(tags.pop())
