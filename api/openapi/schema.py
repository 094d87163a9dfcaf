"""Makes JSON Schemas from Python types, for the bodies and parameters in the description of the API."""

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from inspect import getdoc
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

Schema = dict[str, Any]
Make = Callable[[Any, dict[str, Schema]], Schema]

CLOSED: Schema = {"additionalProperties": False}
"""In `Annotated`: an object with any other member is refused."""

COMPONENTS = "#/components/schemas/"
"""Where an OpenAPI or AsyncAPI document has the types that are named."""
PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "format": "binary"},
    NoneType: {"type": "null"},
    Any: {},
}


def schema_of(kind: Any, named: dict[str, Schema]) -> Schema:
    """Make the JSON Schema (2020-12) of `kind`. Its TypedDicts and enums go into `named`, for a $ref.

    In `Annotated`, a string is the description, and a dict has further keywords of the schema. Raises
    TypeError for a type that JSON does not have, and for two types of one name.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is None and kind in PLAIN:
        return dict(PLAIN[kind])
    if origin is NotRequired:
        return schema_of(arguments[0], named)
    if origin is Annotated:
        return schema_of(arguments[0], named) | annotations_of(kind)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (Union, UnionType):
        return _union([schema_of(argument, named) for argument in arguments])
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0], named)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1], named)}
    if is_typeddict(kind):
        return _reference(kind, named, object_schema)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _reference(kind, named, _enum_schema)
    raise TypeError(f"{kind} has no JSON Schema")


def object_schema(kind: Any, named: dict[str, Schema]) -> Schema:
    """Make the schema of a TypedDict itself. The types of its members go into `named`."""
    if get_origin(kind) is Annotated:
        return object_schema(get_args(kind)[0], named) | annotations_of(kind)
    members = hints_of(kind)
    return {
        "type": "object",
        **({"description": text} if (text := _own_docstring(kind)) else {}),
        "required": [name for name in members if name in kind.__required_keys__],
        "properties": {name: schema_of(member, named) for name, member in members.items()},
    }


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Return the types of the members of a TypedDict, resolved once: resolving is slow, and types repeat."""
    return get_type_hints(kind, include_extras=True)


def standalone_schema(kind: Any, address: str) -> Schema:
    """Make the JSON Schema of a TypedDict as a document of its own, with the URL `address` as its id."""
    named: dict[str, Schema] = {}
    whole = object_schema(kind, named)
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": address}
    return dict(_moved({**dialect, **whole, "$defs": dict(sorted(named.items()))}))


def _moved(part: Any) -> Any:
    """Return a part of a schema with its references to `$defs`."""
    if isinstance(part, list):
        return [_moved(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        name: item.replace(COMPONENTS, "#/$defs/") if name == "$ref" else _moved(item)
        for name, item in part.items()
    }


def annotations_of(kind: Any) -> Schema:
    """Return the annotations of a type in `Annotated` as a part of its schema."""
    schema: Schema = {}
    for item in getattr(kind, "__metadata__", ()):
        schema |= {"description": item} if isinstance(item, str) else item
    return schema


def _union(parts: list[Schema]) -> Schema:
    kinds = [part.get("type") for part in parts]
    if (
        parts[-1] == PLAIN[NoneType]
        and len(parts) == 2
        and isinstance(kinds[0], str)
        and "enum" not in parts[0]
    ):
        return parts[0] | {"type": [kinds[0], "null"]}
    return {"oneOf": parts}


def _enum_schema(kind: Any, _: dict[str, Schema]) -> Schema:
    return {"type": "string", "enum": list(map(str, kind))}


def _reference(kind: Any, named: dict[str, Schema], make: Make) -> Schema:
    name = kind.__name__.removesuffix("Document")
    if name not in named:
        named[name] = {}  # It may refer to itself.
        named[name] |= make(kind, named)
    elif named[name] != _alone(kind, make):
        raise TypeError(f"two types are named {name}")
    return {"$ref": f"{COMPONENTS}{name}"}


@cache
def _alone(kind: Any, make: Make) -> Schema:
    """Make the schema of a type only to compare it. Most types are referred to again and again."""
    return make(kind, {})


def _own_docstring(kind: Any) -> str | None:
    return getdoc(kind) if kind.__doc__ else None
