"""The routes under /v1/keys: a client sees, makes, replaces and ends its own API keys."""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Literal, NotRequired, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.key import Key, id_of, told
from api.identity.key_store import Keys, MakerEnded
from api.identity.scopes import Scope
from api.openapi.describe import Answer, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from jobs.record.documents import MOMENT
from jobs.record.job import moment_text

log = logging.getLogger(__name__)

_OVERLAP_HOURS, _LONGEST_OVERLAP_HOURS = 24, 168


class KeyDocument(TypedDict):
    """An API key of this client's, without the key itself."""

    id: str
    scopes: list[Scope]
    created_at: Annotated[str, MOMENT]
    ends_at: Annotated[str | None, MOMENT, "From then on it is no key."]
    made_by: Annotated[str | None, "The id of the key that asked for it; null where the operator made it."]
    last_used_at: Annotated[str | None, MOMENT, "To the hour."]


class KeysDocument(TypedDict):
    """All keys of this client, ended ones too."""

    keys: list[KeyDocument]


class KeyOrder(TypedDict):
    """What a new key may."""

    scopes: NotRequired[
        Annotated[list[Scope], {"minItems": 1}, "Of the asking key's; all of them, unless given."]
    ]


class NewKey(TypedDict):
    """A key, shown this once."""

    id: str
    scopes: list[Scope]
    api_key: str


class Rotation(TypedDict):
    """How long the key before goes on."""

    overlap_hours: NotRequired[
        Annotated[
            float, {"minimum": 0, "maximum": _LONGEST_OVERLAP_HOURS}, f"{_OVERLAP_HOURS}, unless given."
        ]
    ]


class Revocation(TypedDict):
    """What is revoked beside the key itself."""

    and_made: NotRequired[
        Annotated[
            Literal["true", "false"],
            "With `true` all keys that this key has made, created or rotated, end as well, and so do those"
            " that they have made. For a key that leaked.",
        ]
    ]


class RotatedKey(NewKey):
    """A key in another one's place, shown this once."""

    previous_key_ends_at: Annotated[str, MOMENT]


def key_routes(keys: Keys) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("keys", __name__, url_prefix="/v1/keys")

    @routes.get("")
    @describe(
        "listKeys",
        "This client's API keys",
        {200: Answer("The keys, oldest first.", KeysDocument)},
        scope=Scope.ADMIN,
    )
    def show() -> Response:
        known = sorted(keys.of_client(g.caller.client), key=lambda pair: pair[0].created_at)
        return jsonify(
            keys=[
                {name: value for name, value in told(key).items() if name != "client"}
                | {"last_used_at": moment_text(used_at) if used_at else None}
                for key, used_at in known
            ]
        )

    @routes.post("")
    @describe(
        "createKey",
        "A new key, with no more scopes than the one that asks",
        {201: Answer("The key, shown this once.", NewKey)},
        body=Annotated[KeyOrder, CLOSED],
        body_required=False,
        scope=Scope.ADMIN,
    )
    def create() -> Response:
        scopes = frozenset(map(Scope, json_body().get("scopes", g.caller.key.scopes)))
        _grantable(scopes)
        try:
            return _shown(keys.create(g.caller.client, scopes, g.caller.key.id), scopes)
        except MakerEnded as error:
            raise _asker_ended() from error

    @routes.post("/<key_id>/rotate")
    @describe(
        "rotateKey",
        "A key with the same scopes in this one's place, which ends in 24 hours",
        {201: Answer("The key, shown this once.", RotatedKey)},
        (Slug.NO_SUCH_KEY,),
        body=Annotated[Rotation, CLOSED],
        body_required=False,
        scope=Scope.ADMIN,
    )
    def rotate(key_id: str) -> Response:
        _grantable(_one(keys, key_id).scopes)
        overlap = timedelta(hours=json_body().get("overlap_hours", _OVERLAP_HOURS))
        try:
            made, ending = keys.rotate(key_id, overlap, g.caller.key.id)
        except MakerEnded as error:
            raise _asker_ended() from error
        except LookupError as error:
            raise Problem(Slug.NO_SUCH_KEY, f"The key {key_id} has ended. Create a new one.") from error
        response = _shown(made, ending.scopes, previous_key_ends_at=told(ending)["ends_at"])
        g.key_acted_on = key_id
        return response

    @routes.delete("/<key_id>")
    @describe(
        "revokeKey",
        "End a key now",
        {204: Answer("It has ended; for some seconds (30, by default) it may still be taken.")},
        (Slug.MALFORMED, Slug.NO_SUCH_KEY),
        query=Revocation,
    )
    def revoke(key_id: str) -> Response:
        and_made = request.args.get("and_made", "false")
        if and_made not in ("true", "false"):
            raise Problem(Slug.MALFORMED, "`and_made` is `true` or `false`.")
        keys.revoke(_one(keys, key_id).id, and_made == "true")
        g.key_acted_on = key_id
        log.info("key revoked", extra={"client": g.caller.client})
        return Response(status=204)

    return routes


def _one(keys: Keys, key_id: str) -> Key:
    try:
        return keys.one(g.caller.client, key_id)
    except LookupError as error:
        detail = "There is no such API key of this client. Take an id that `GET /v1/keys` shows."
        raise Problem(Slug.NO_SUCH_KEY, detail) from error


def _asker_ended() -> Problem:
    detail = "The API key that asks has ended, or ends within a minute: it makes no other. Use another key."
    return Problem(Slug.UNAUTHORIZED, detail)


def _grantable(scopes: Collection[Scope]) -> None:
    """Raises Problem where the asking key would hand out what it may not do itself."""
    for scope in sorted(set(scopes) - g.caller.key.scopes):
        detail = f"A key hands out no more than it may do: this needs one that has the scope `{scope}`, too."
        raise Problem(Slug.INSUFFICIENT_SCOPE, detail, scope=scope)


def _shown(made: str, scopes: Collection[Scope], **more: object) -> Response:
    g.key_acted_on = id_of(made)
    response = jsonify(id=id_of(made), scopes=sorted(scopes), api_key=made, **more)
    response.status_code = 201
    log.info("key made", extra={"client": g.caller.client})
    return response
