"""Provides the pages for people over the real stores, with a page of the tests' own, and browsers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask, Response, g
from werkzeug.test import Client, TestResponse

from api.app import create_app
from api.identity.key_store import Keys
from api.intake.body_limits import takes_form
from api.reading_room import blueprint
from jobs.reading.reader import Reader
from jobs.reading.readers import Readers
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from tests.api.conftest import collaborators

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
"""What a browser sends when a person opens a page."""
OWN = "https://osteo.example"


@dataclass
class Browser:
    """A browser that a person uses with one of the processes."""

    client: Client

    def open(self, path: str, method: str = "GET", headers: dict | None = None, **given: Any) -> TestResponse:
        return self.client.open(path, base_url=OWN, method=method, headers=PAGE | (headers or {}), **given)

    def token(self, path: str = "/read/sign-in") -> str:
        """Return the CSRF token of a page's form."""
        text = self.open(path).text
        return text.split('name="csrf" value="')[1].split('"')[0]

    def sign_in(self, key: str, **fields: str) -> TestResponse:
        form = {"csrf": self.token(), "key": key} | fields
        return self.open("/read/sign-in", "POST", {"Origin": OWN}, data=form)

    def cookie(self, name: str = "osteo_session") -> str | None:
        found = self.client.get_cookie(name, "osteo.example", "/read")
        return found.value if found else None

    def with_cookie(self, value: str, name: str = "osteo_session") -> "Browser":
        self.client.set_cookie(name, value, domain="osteo.example", path="/read")
        return self


Process = Callable[..., Flask]


@pytest.fixture
def process(settings: Settings, ledger: Ledger, queue: Any, monkeypatch: pytest.MonkeyPatch) -> Process:
    """Return what makes the application of one more process; its pages have one of the test's own."""
    made = blueprint.reading_room

    def with_a_page(*given: Any) -> Any:
        pages = made(*given)

        @pages.route("/own", methods=["GET", "POST"])
        @takes_form()
        def own() -> Response:
            return Response(f'<input name="csrf" value="{g.csrf}">{g.reader.id} {g.session.id}')

        return pages

    monkeypatch.setattr("api.app.reading_room", with_a_page)

    def process(**changed: Any) -> Flask:
        mine = replace(settings, **changed)
        keys = Keys(ledger.records, mine.key_seconds)
        return create_app(mine, collaborators(mine, ledger, queue, keys))

    return process


@pytest.fixture
def app(process: Process) -> Flask:
    return process()


@pytest.fixture
def browser_of() -> Callable[[Flask], Browser]:
    return lambda app: Browser(app.test_client())


@pytest.fixture
def person(app: Flask) -> Browser:
    return Browser(app.test_client())


@pytest.fixture
def readers(ledger: Ledger) -> Readers:
    return Readers(ledger.records, 0)


@pytest.fixture
def signing(readers: Readers) -> tuple[str, Reader]:
    """Return a reader key and its reader."""
    return readers.create("Dr. Ada Bone", frozenset({"msk"}), "clinic", "ada@clinic.example")
