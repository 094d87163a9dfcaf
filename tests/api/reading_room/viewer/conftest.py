"""The site of viewers, and pages of it, for the tests in a browser."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.api.reading_room.viewer.site import Site, viewer_site
from tests.browser import watched_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Pages(Protocol):
    """Opens a page in a context of its own, with options of Browser.new_context."""

    def __call__(self, **options: object) -> AbstractContextManager["Page"]: ...


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with viewer_site() as served:
        yield served


@pytest.fixture(scope="module")
def pages(browser: "Browser", site: Site) -> Pages:
    return partial(watched_page, browser, site.url)
