"""Asks the service about jobs, in steps that either client runs."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Any, Protocol
from urllib.parse import quote

import httpx2

from osteo_client.connection import check_header_value
from osteo_client.errors import AlreadyEnded, Gone, JobFailed, NotEnded, NotTheService
from osteo_client.exchange import Steps, document_of, exchange
from osteo_client.job import Job, Result, State
from osteo_client.kinds import media_type
from osteo_client.reading import TrainingUse

HOLD_SECONDS = 25
"""For so long the service is asked to hold its answer until the job has ended; proxies often cut at 30."""
FIRST_PAUSE, SLOWEST_PAUSE = 0.25, 5.0
"""Seconds between two questions about a job, where the service does not hold its answers."""

Image = bytes | str | PathLike[str]
"""An image's bytes, or the path of its file."""


class Build(Protocol):
    """How a request is made, by either of httpx2's clients."""

    def __call__(
        self,
        method: str,
        url: str,
        /,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        files: Mapping[str, tuple[str | None, str | bytes]] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> httpx2.Request:
        """Make it, with everything that the client adds."""
        ...


@dataclass
class ServiceSteps:
    """The routes that are about no job yet."""

    build: Build
    patience: float

    def submit(
        self, image: Image, idempotency_key: str | None, upload: bool, **fields: str | int | None
    ) -> Steps["JobSteps"]:
        """Submit an image once, also when it has to be sent again; with `upload` past the API."""
        # Names of files often hold names of patients, so none is sent.
        idempotency_key = idempotency_key or str(uuid.uuid4())
        check_header_value("the idempotency key", idempotency_key)
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        if upload:
            fields["upload_id"] = yield from self._upload(data)
        form = {name: (None, str(value)) for name, value in fields.items() if value is not None}
        request = self.build(
            "POST",
            "/v1/jobs",
            headers={"Idempotency-Key": idempotency_key},
            files=form if upload else {**form, "image": ("image", data)},
        )
        response = yield from exchange(request, self.patience)
        return JobSteps(self, _job(response))

    def _upload(self, image: bytes) -> Steps[str]:
        """Order an upload, and put the image there; returns the upload's id."""
        # A DICOM file may lack the preamble that tells it.
        order = {"size": len(image), "content_type": media_type(image[:132]) or "application/dicom"}
        response = yield from exchange(self.build("POST", "/v1/uploads", json=order), self.patience)
        upload = document_of(response)
        try:
            put = self.build(upload["method"], upload["url"], headers=upload["headers"], content=image)
            upload_id = str(upload["id"])
        except (KeyError, TypeError) as error:
            raise NotTheService(
                f"{response.url} answered with JSON that is no upload: is the address right?"
            ) from error
        # The object store is another service: it does not get the API key.
        del put.headers["Authorization"]
        yield from exchange(put, self.patience)
        return upload_id

    def job(self, job_id: str) -> Steps["JobSteps"]:
        """Look a job up."""
        response = yield from exchange(self.build("GET", _path(job_id)), self.patience)
        return JobSteps(self, _job(response))

    def page(
        self, cursor: str | None, filters: Mapping[str, str]
    ) -> Steps[tuple[list["JobSteps"], str | None]]:
        """Fetch one page of this client's jobs, newest first, and where the next begins."""
        params = {**filters, **({"cursor": cursor} if cursor else {})}
        response = yield from exchange(self.build("GET", "/v1/jobs", params=params), self.patience)
        document = document_of(response)
        jobs = [JobSteps(self, Job.read(job)) for job in document["jobs"]]
        return jobs, document["next_cursor"]


@dataclass
class JobSteps:
    """One job as last fetched, and the requests about it."""

    service: ServiceSteps
    job: Job

    def refresh(self) -> Steps[Job]:
        """Fetch the job as it is now."""
        return self._look(0)

    def wait(self, seconds: float | None) -> Steps[Job]:
        """Wait until the job has ended. Raises NotEnded."""
        deadline = inf if seconds is None else monotonic() + seconds
        pace = FIRST_PAUSE
        while not self.job.ended:
            asked = monotonic()
            if asked >= deadline:
                raise NotEnded(f"{self.job.id} is {self.job.state} after {seconds:g} s")
            yield from self._look(min(HOLD_SECONDS, deadline - asked))
            # A service that holds its answers leaves no pause; with another, this is polling.
            pause = min(asked + pace, deadline) - monotonic()
            if not self.job.ended and pause > 0:
                yield pause
            pace = min(SLOWEST_PAUSE, pace * 1.5)
        return self.job

    def result(self, seconds: float | None) -> Steps[Result]:
        """Wait, and take the result. Raises JobFailed and NotEnded."""
        job = yield from self.wait(seconds)
        if job.result is None:
            raise JobFailed(job)
        return job.result

    def heatmap(self, seconds: float | None) -> Steps[bytes]:
        """Wait, and fetch the overlay as a PNG. Raises JobFailed and NotEnded."""
        yield from self.result(seconds)
        request = self.service.build("GET", _path(self.job.id, "/heatmap"))
        response = yield from exchange(request, self.service.patience)
        return response.content

    def targets(self, max_age: float | None) -> Steps[dict[str, Any]]:
        """Fetch where the fractures lie in space. Raises Problem where the job has no result."""
        params = {} if max_age is None else {"max_age": str(max_age)}
        request = self.service.build("GET", _path(self.job.id, "/targets"), params=params)
        return document_of((yield from exchange(request, self.service.patience)))

    def cancel(self) -> Steps[Job]:
        """Give the analysis up. Raises AlreadyEnded."""
        request = self.service.build("POST", _path(self.job.id, "/cancel"))
        try:
            self.job = _job((yield from exchange(request, self.service.patience)))
        except AlreadyEnded:
            # An answer that was lost on its way makes the second request come too late.
            if (yield from self.refresh()).state != "canceled":
                raise
        return self.job

    def set_consent(self, training_use: TrainingUse, consent_reference: str | None) -> Steps[None]:
        """Allow or deny that models learn from the image."""
        consent: dict[str, str] = {"training_use": training_use}
        if consent_reference is not None:
            consent["consent_reference"] = consent_reference
        request = self.service.build("PUT", _path(self.job.id, "/consent"), json=consent)
        yield from exchange(request, self.service.patience)

    def delete(self) -> Steps[None]:
        """Erase the image and everything that was made of it."""
        request = self.service.build("DELETE", _path(self.job.id))
        try:
            yield from exchange(request, self.service.patience)
        except Gone:
            return

    def _look(self, hold: float) -> Steps[Job]:
        headers = {"Prefer": f"wait={int(hold)}"} if hold >= 1 else {}
        request = self.service.build("GET", _path(self.job.id), headers=headers)
        response = yield from exchange(request, self.service.patience)
        self.job = _job(response)
        return self.job


def filters_of(
    state: State | None,
    reference: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
) -> dict[str, str]:
    """Make the parameters of a listing."""
    given = {
        "state": state,
        "reference": reference,
        "created_after": created_after and created_after.isoformat(),
        "created_before": created_before and created_before.isoformat(),
    }
    return {name: value for name, value in given.items() if value}


def _path(job_id: str, what: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}{what}"


def _job(response: httpx2.Response) -> Job:
    try:
        return Job.read(document_of(response))
    except (KeyError, TypeError, ValueError) as error:
        raise NotTheService(
            f"{response.url} answered with JSON that is no job: is the address right?"
        ) from error
