"""Defines the three scopes of API keys, and the scope that a request needs."""

from enum import StrEnum


class Scope(StrEnum):
    """One right of an API key."""

    SUBMIT = "submit"
    """Submit radiographs, and cancel or redeliver jobs."""
    READ = "read"
    """Read jobs, results and images."""
    ADMIN = "admin"
    """Delete, and change the settings of the whole client."""


def scope_of(method: str) -> Scope:
    """Return the scope that a request by this method needs, unless its route names another."""
    if method in ("GET", "HEAD"):
        return Scope.READ
    return Scope.ADMIN if method == "DELETE" else Scope.SUBMIT
