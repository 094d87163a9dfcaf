"""Prepares the connection of either client: address, key, and how long an answer may take."""

from importlib.metadata import version
from typing import TypedDict

import httpx2

PATIENCE = 60.0
"""Seconds during which a request is repeated."""


class Settings(TypedDict):
    """What httpx2's clients are made with."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx2.Timeout


def check_header_value(what: str, text: str) -> None:
    """Check that a header can carry this text. Raises ValueError, without the text: it may be a secret."""
    wrong = next((c for c in text if not " " <= c <= "~"), None)
    if wrong is not None:
        raise ValueError(
            f"{what} holds {wrong!a} at place {text.index(wrong) + 1}, where only letters, digits and signs"
            " of ASCII can stand. Was it copied whole, and nothing else?"
        )


def settings(url: str, key: str) -> Settings:
    """Make the settings for a service and a key. Raises ValueError for an address or a key that is none."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no address of a service: it begins with https:// (or http:// at home)")
    check_header_value("the API key", key.strip())
    return {
        "base_url": url.rstrip("/"),
        "headers": {
            "Authorization": f"Bearer {key.strip()}",
            "User-Agent": f"osteo-client/{version('osteo-client')}",
        },
        # Longer than the service is asked to hold an answer.
        "timeout": httpx2.Timeout(60, connect=10),
    }
