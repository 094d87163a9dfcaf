"""Serves /v1/keys: a client lists, creates, rotates and revokes its own API keys."""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Literal, NotRequired, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.key import Key, id_of, key_document
from api.identity.key_store import LONGEST_OVERLAP_HOURS, OVERLAP_HOURS, Keys, MakerEnded
from api.identity.scopes import Scope
from api.openapi.describe import Answer, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from jobs.record.documents import MOMENT
from jobs.record.job import moment_text

log = logging.getLogger(__name__)


class KeyDocument(TypedDict):
    """An API key of this client, without the key itself."""

    id: str
    scopes: list[Scope]
    created_at: Annotated[str, MOMENT]
    ends_at: Annotated[str | None, MOMENT, "From then on the key is not valid."]
    made_by: Annotated[str | None, "The id of the key that created it; null where the operator did."]
    last_used_at: Annotated[str | None, MOMENT, "With a precision of one hour."]


class KeysDocument(TypedDict):
    """All keys of this client, including ended ones."""

    keys: list[KeyDocument]


class KeyOrder(TypedDict):
    """The scopes of a new key."""

    scopes: NotRequired[
        Annotated[list[Scope], {"minItems": 1}, "Scopes of the requesting key. Default: all of them."]
    ]


class NewKey(TypedDict):
    """A new key. It is shown this once."""

    id: str
    scopes: list[Scope]
    api_key: str


class Rotation(TypedDict):
    """How long the previous key stays valid."""

    overlap_hours: NotRequired[
        Annotated[float, {"minimum": 0, "maximum": LONGEST_OVERLAP_HOURS}, f"Default: {OVERLAP_HOURS}."]
    ]


class Revocation(TypedDict):
    """What is revoked in addition to the key itself."""

    and_made: NotRequired[
        Annotated[
            Literal["true", "false"],
            "With `true` every key that this key has created or rotated ends as well, and so does every key"
            " that those have created. Use it for a key that has leaked.",
        ]
    ]


class RotatedKey(NewKey):
    """A key that replaces another one. It is shown this once."""

    previous_key_ends_at: Annotated[str, MOMENT]


def key_routes(keys: Keys) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("keys", __name__, url_prefix="/v1/keys")

    @routes.get("")
    @describe(
        "listKeys",
        "List the client's API keys",
        {200: Answer("The keys, oldest first.", KeysDocument)},
        scope=Scope.ADMIN,
    )
    def show() -> Response:
        known = sorted(keys.of_client(g.caller.client), key=lambda pair: pair[0].created_at)
        return jsonify(
            keys=[
                {name: value for name, value in key_document(key).items() if name != "client"}
                | {"last_used_at": moment_text(used_at) if used_at else None}
                for key, used_at in known
            ]
        )

    @routes.post("")
    @describe(
        "createKey",
        "Create a key, with at most the scopes of the requesting key",
        {201: Answer("The new key, shown this once.", NewKey)},
        body=Annotated[KeyOrder, CLOSED],
        body_required=False,
        scope=Scope.ADMIN,
    )
    def create() -> Response:
        scopes = frozenset(map(Scope, json_body().get("scopes", g.caller.key.scopes)))
        _check_grantable(scopes)
        try:
            return _key_answer(keys.create(g.caller.client, scopes, g.caller.key.id), scopes)
        except MakerEnded as error:
            raise _asker_ended() from error

    @routes.post("/<key_id>/rotate")
    @describe(
        "rotateKey",
        "Replace a key by a new one with the same scopes. The old key ends in 24 hours",
        {201: Answer("The new key, shown this once.", RotatedKey)},
        (Slug.NO_SUCH_KEY,),
        body=Annotated[Rotation, CLOSED],
        body_required=False,
        scope=Scope.ADMIN,
    )
    def rotate(key_id: str) -> Response:
        _check_grantable(_key_of_client(keys, key_id).scopes)
        overlap = timedelta(hours=json_body().get("overlap_hours", OVERLAP_HOURS))
        try:
            made, ending = keys.rotate(key_id, overlap, g.caller.key.id)
        except MakerEnded as error:
            raise _asker_ended() from error
        except LookupError as error:
            raise Problem(Slug.NO_SUCH_KEY, f"The key {key_id} has ended. Create a new one.") from error
        response = _key_answer(made, ending.scopes, previous_key_ends_at=key_document(ending)["ends_at"])
        g.key_acted_on = key_id
        return response

    @routes.delete("/<key_id>")
    @describe(
        "revokeKey",
        "Revoke a key",
        {204: Answer("The key has ended. It may still be accepted for some seconds (30 by default).")},
        (Slug.MALFORMED, Slug.NO_SUCH_KEY),
        query=Revocation,
    )
    def revoke(key_id: str) -> Response:
        and_made = request.args.get("and_made", "false")
        if and_made not in ("true", "false"):
            raise Problem(Slug.MALFORMED, "`and_made` is `true` or `false`.")
        keys.revoke(_key_of_client(keys, key_id).id, and_made == "true")
        g.key_acted_on = key_id
        log.info("key revoked", extra={"client": g.caller.client})
        return Response(status=204)

    return routes


def _key_of_client(keys: Keys, key_id: str) -> Key:
    try:
        return keys.one(g.caller.client, key_id)
    except LookupError as error:
        detail = "There is no such API key of this client. Take an id that `GET /v1/keys` shows."
        raise Problem(Slug.NO_SUCH_KEY, detail) from error


def _asker_ended() -> Problem:
    detail = "The requesting API key has ended, or ends within a minute. Use another key."
    return Problem(Slug.UNAUTHORIZED, detail)


def _check_grantable(scopes: Collection[Scope]) -> None:
    """Raise Problem 403 for a scope that the requesting key does not have."""
    for scope in sorted(set(scopes) - g.caller.key.scopes):
        detail = f"A key grants only scopes that it has: this needs a key with the scope `{scope}`."
        raise Problem(Slug.INSUFFICIENT_SCOPE, detail, scope=scope)


def _key_answer(made: str, scopes: Collection[Scope], **more: object) -> Response:
    g.key_acted_on = id_of(made)
    response = jsonify(id=id_of(made), scopes=sorted(scopes), api_key=made, **more)
    response.status_code = 201
    log.info("key made", extra={"client": g.caller.client})
    return response
