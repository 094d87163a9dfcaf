"""Fills messages of ROS 2 with nested fields."""

from importlib import import_module
from typing import Any


def message_type(kind: str) -> Any:
    """Return the class of a type such as `std_msgs/msg/Header`. Raises ImportError if it is missing."""
    folder, _, name = kind.rpartition("/")
    return getattr(import_module(folder.replace("/", ".")), name)


def message_of(type_: Any, fields: dict[str, Any]) -> Any:
    """Return a message of a class. What `fields` leaves out has the default of its type."""
    message = type_()
    kinds = dict(zip(type_.get_fields_and_field_types(), type_.SLOT_TYPES, strict=True))
    for name, value in fields.items():
        setattr(message, name, _value(kinds[name], value))
    return message


def _value(kind: Any, value: Any) -> Any:
    """Return a field's value for its type, which the classes describe by those of rosidl_parser."""
    if isinstance(value, dict):
        return message_of(message_type("/".join((*kind.namespaces, kind.name))), value)
    if isinstance(value, list):
        return [_value(kind.value_type, item) for item in value]
    return bytes([value]) if getattr(kind, "typename", None) == "octet" else value
