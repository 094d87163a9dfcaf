"""Submits X-rays from programs without an event loop: `Client(url, key).submit("wrist.png").result()`."""

import json
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx2

from osteo_client.connection import PATIENCE, settings
from osteo_client.exchange import Steps
from osteo_client.job import Job, Priority, Result, State
from osteo_client.key import ApiKey, NewKey, Scope
from osteo_client.key_steps import KeySteps
from osteo_client.reading import TrainingUse, Wish
from osteo_client.reading_steps import ReadingSteps
from osteo_client.readings import Readings
from osteo_client.steps import Image, JobSteps, ServiceSteps, filters_of
from osteo_client.studies import Studies
from osteo_client.study_steps import StudySteps

T = TypeVar("T")


class Client(Studies, Readings):
    """The service at `url`, for the client that `key` belongs to. Threads may share it.

    A request that fails in a way that may pass is repeated, with growing pauses and no sooner than the
    service asks for, for up to `patience` seconds. Every method may raise Unreachable after that, and Problem
    or one of its kinds for an answer that is an error; ValueError for an address or a key that is none.
    """

    def __init__(self, url: str, key: str, *, patience: float = PATIENCE) -> None:
        self._http = httpx2.Client(**settings(url, key))
        self._steps = ServiceSteps(self._http.build_request, patience)
        self._keys = KeySteps(self._http.build_request, patience)
        self._studies = StudySteps(self._http.build_request, patience)
        self._readings = ReadingSteps(self._http.build_request, patience)

    def submit(
        self,
        image: Image,
        *,
        callback_url: str | None = None,
        reference: str | None = None,
        priority: Priority | None = None,
        metadata: Mapping[str, Any] | None = None,
        deadline_seconds: int | None = None,
        retention_seconds: int | None = None,
        read: Wish | None = None,
        due_seconds: int | None = None,
        question: str | None = None,
        training_use: TrainingUse | None = None,
        consent_reference: str | None = None,
        idempotency_key: str | None = None,
        upload: bool = False,
    ) -> "JobHandle":
        """Submit an X-ray: its bytes or the path of its file. Returns as soon as it is accepted.

        The name of the file is not sent. One key is made for each call, so that a repetition never makes a
        second job; give one of your own to be safe across restarts, too. A job that still waits after
        `deadline_seconds` ends `expired`; one that ended `retention_seconds` ago is deleted.
        With `upload` the image goes to the object store first, past the API: for large images.

        `read` says when a person reads it, too; that reading is due `due_seconds` after the submission, and
        `question` goes to the reader. Models may learn from it where `training_use` is "allowed";
        `consent_reference` is your own name of the consent.
        """
        steps = self._steps.submit(
            image,
            idempotency_key,
            upload,
            callback_url=callback_url,
            reference=reference,
            priority=priority,
            metadata=json.dumps(metadata) if metadata is not None else None,
            deadline_seconds=deadline_seconds,
            retention_seconds=retention_seconds,
            read=read,
            due_seconds=due_seconds,
            question=question,
            training_use=training_use,
            consent_reference=consent_reference,
        )
        return JobHandle(self, self._run(steps))

    def job(self, job_id: str) -> "JobHandle":
        """Look up the job with this id. Raises NoSuchJob."""
        return JobHandle(self, self._run(self._steps.job(job_id)))

    def jobs(
        self,
        state: State | None = None,
        *,
        reference: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator["JobHandle"]:
        """List your jobs, newest first. Times need a zone."""
        filters = filters_of(state, reference, created_after, created_before)
        cursor: str | None = None
        while True:
            page, cursor = self._run(self._steps.page(cursor, filters))
            yield from (JobHandle(self, steps) for steps in page)
            if cursor is None:
                return

    def keys(self) -> list[ApiKey]:
        """List your API keys, oldest first, ended ones too. This and the next three need scope `admin`."""
        return self._run(self._keys.all())

    def create_key(self, scopes: Collection[Scope] | None = None) -> NewKey:
        """Make a key with these scopes, of those that this client's own key has; all of them, unless given.

        Where the answer is lost on its way, a second key is made. The first is unused, and `keys` lists it.
        """
        return self._run(self._keys.create(scopes))

    def rotate_key(self, key_id: str) -> NewKey:
        """Make a key in this one's place, which ends in 24 hours. Raises NoSuchKey."""
        return self._run(self._keys.rotate(key_id))

    def revoke_key(self, key_id: str) -> None:
        """End a key now; to do so twice is no error. Raises NoSuchKey."""
        self._run(self._keys.revoke(key_id))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = next(steps)
                    continue
                try:
                    response = self._http.send(step)
                except httpx2.TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as end:
            return cast(T, end.value)


class JobHandle:
    """One job of a client; `job` is the job as last fetched."""

    def __init__(self, client: Client, steps: JobSteps) -> None:
        self._client = client
        self._steps = steps

    @property
    def id(self) -> str:
        """The job's id, such as `job_01J...`."""
        return self._steps.job.id

    @property
    def job(self) -> Job:
        """The job as last fetched; sends no request."""
        return self._steps.job

    def refresh(self) -> Job:
        """Fetch the job as it is now."""
        return self._client._run(self._steps.refresh())

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until the job has ended in any state. Raises NotEnded after `timeout` seconds."""
        return self._client._run(self._steps.wait(timeout))

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result. Raises JobFailed where there is none, NotEnded after `timeout` seconds."""
        return self._client._run(self._steps.result(timeout))

    def heatmap(self, timeout: float | None = None) -> bytes:
        """Wait for the overlay, and fetch it as a PNG. Raises as `result` does."""
        return self._client._run(self._steps.heatmap(timeout))

    def targets(self, max_age: float | None = None) -> dict[str, Any]:
        """Fetch where the fractures lie in space, and what blocks their use; `max_age` is in seconds."""
        return self._client._run(self._steps.targets(max_age))

    def cancel(self) -> Job:
        """Give the analysis up. Raises AlreadyEnded."""
        return self._client._run(self._steps.cancel())

    def set_consent(self, training_use: TrainingUse, consent_reference: str | None = None) -> None:
        """Say whether models may learn from the image; "denied" revokes what was allowed before."""
        self._client._run(self._steps.set_consent(training_use, consent_reference))

    def delete(self) -> None:
        """Erase the image and everything that was made of it; to do so twice is no error."""
        self._client._run(self._steps.delete())

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} {self.job.state}>"
