"""Gets the answer to one request: sends it again with pauses while the service is away or busy.

Nothing here sends or sleeps. A generator yields each request to send and is given the answer; where it yields
a number, that many seconds go by. Both clients run the same generators, one with threads, one with asyncio.
"""

import logging
import random
from collections.abc import Generator
from itertools import count
from time import monotonic
from typing import Any, TypeVar

import httpx2

from osteo_client.errors import NotTheService, Problem, Unreachable, problem_of

log = logging.getLogger(__name__)

T = TypeVar("T")
Steps = Generator[httpx2.Request | float, httpx2.Response, T]

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the first repetition, doubled from there; a Retry-After may ask for more."""
COME_AGAIN = (429, 502, 503, 504)
SILENCE = 60.0
"""Seconds after which a service that does not answer at all is given up, for any `patience`."""


def exchange(request: httpx2.Request, patience: float) -> Steps[httpx2.Response]:
    """Send a request until it has an answer of 2xx, or of 304 where the request is conditional.

    What may go better later is tried again, until the next pause would end more than `patience` seconds after
    the start. Raises Unreachable and Problem.
    """
    started = monotonic()
    for attempt in count():
        failure: Problem | Unreachable
        limit = patience
        pause = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2**attempt)
        try:
            response = yield request
        except httpx2.TransportError as error:
            failure = Unreachable(f"{request.url.host} does not answer: {error or type(error).__name__}")
            failure.__cause__ = error
            limit = min(patience, SILENCE)
        else:
            if response.is_success or response.status_code == 304:
                return response
            failure = problem_of(response)
            asked_to_return = response.status_code == 409 and failure.retry_after is not None
            if response.status_code not in COME_AGAIN and not asked_to_return:
                raise failure
            pause = max(pause, failure.retry_after or 0)
        # Clients that were turned away together are not to come back together.
        pause *= random.uniform(1, 1.2)
        if monotonic() - started + pause > limit:
            raise failure
        log.info("%s; again in %.0f s", failure, pause)
        yield pause
    raise AssertionError("counting does not end")


def document_of(response: httpx2.Response) -> dict[str, Any]:
    """Read the JSON object of an answer. Raises NotTheService."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise NotTheService(
            f"{response.url} answered {response.status_code} without JSON: is the address right?"
        )
    return document
