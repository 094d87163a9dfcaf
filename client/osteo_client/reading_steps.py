"""Asks the service about readings, in steps that either client runs."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2

from osteo_client.errors import NotEnded, NotTheService, ReadingMoved
from osteo_client.exchange import Steps, document_of, exchange
from osteo_client.reading import Reading
from osteo_client.steps import FIRST_PAUSE, Build

T = TypeVar("T")

SLOWEST_PAUSE = 15.0
"""Seconds between two questions about a reading: a person takes minutes."""
UNCHANGED = 304


@dataclass
class ReadingSteps:
    """The routes of readings that are a client's own, and the keys that reports are signed with."""

    build: Build
    patience: float

    def request(self, job_id: str, **wishes: str | int | None) -> Steps[Reading]:
        """Request a reading of a job; one that is open already is returned instead."""
        order = {name: value for name, value in wishes.items() if value is not None}
        request = self.build("POST", _of_job(job_id), json=order)
        return _read(Reading.read, (yield from exchange(request, self.patience)))

    def of_job(self, job_id: str) -> Steps[list[Reading]]:
        """List the readings of a job, oldest first."""
        response = yield from exchange(self.build("GET", _of_job(job_id)), self.patience)
        return _read(lambda document: [Reading.read(one) for one in document["readings"]], response)

    def reading(self, reading_id: str) -> Steps[Reading]:
        """Fetch a reading as it is now. Raises NoSuchReading."""
        response = yield from exchange(self.build("GET", _path(reading_id)), self.patience)
        return _read(Reading.read, response)

    def wait(self, reading_id: str, seconds: float | None) -> Steps[Reading]:
        """Wait until the reading has ended. Raises NotEnded."""
        deadline, pace = inf if seconds is None else monotonic() + seconds, FIRST_PAUSE
        reading: Reading | None = None
        headers: dict[str, str] = {}
        while True:
            request = self.build("GET", _path(reading_id), headers=headers)
            response = yield from exchange(request, self.patience)
            if reading is None or response.status_code != UNCHANGED:
                reading = _read(Reading.read, response)
                headers = {"If-None-Match": response.headers["ETag"]} if "ETag" in response.headers else {}
            if reading.ended:
                return reading
            pause = min(pace, deadline - monotonic())
            if pause <= 0:
                raise NotEnded(f"{reading_id} is {reading.state} after {seconds:g} s")
            yield pause
            pace = min(SLOWEST_PAUSE, pace * 1.5)

    def cancel(self, reading_id: str) -> Steps[Reading]:
        """Cancel a reading that is not signed. Raises ReadingMoved and NoSuchReading."""
        request = self.build("POST", _path(reading_id, "/cancel"))
        try:
            return _read(Reading.read, (yield from exchange(request, self.patience)))
        except ReadingMoved:
            # An answer that was lost on its way makes the second request come too late.
            reading = yield from self.reading(reading_id)
            if reading.state != "canceled":
                raise
            return reading

    def key_set(self) -> Steps[dict[str, Any]]:
        """Fetch the public keys that reports are signed with, as a JSON Web Key Set."""
        response = yield from exchange(self.build("GET", "/.well-known/jwks.json"), self.patience)
        return document_of(response)


def _of_job(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}/readings"


def _path(reading_id: str, what: str = "") -> str:
    return f"/v1/readings/{quote(reading_id, safe='')}{what}"


def _read(read: Callable[[dict[str, Any]], T], response: httpx2.Response) -> T:
    try:
        return read(document_of(response))
    except (KeyError, TypeError, ValueError) as error:
        raise NotTheService(
            f"{response.url} answered with JSON that is no reading: is the address right?"
        ) from error
