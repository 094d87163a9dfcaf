"""What an API key lets its holder do: three scopes, and which of them a request needs."""

from enum import StrEnum


class Scope(StrEnum):
    """A part of a client's rights."""

    SUBMIT = "submit"
    """Submit radiographs, and see to their jobs."""
    READ = "read"
    """Read jobs, results and images."""
    ADMIN = "admin"
    """Erase, and change what holds for the whole client."""


def scope_of(method: str) -> Scope:
    """The scope that a request by this method needs, where its route does not say otherwise."""
    if method in ("GET", "HEAD"):
        return Scope.READ
    return Scope.ADMIN if method == "DELETE" else Scope.SUBMIT
