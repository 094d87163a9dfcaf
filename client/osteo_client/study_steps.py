"""Asks the service about studies, test events and callbacks, in steps that either client runs."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2

from osteo_client.errors import NotEnded, NotTheService
from osteo_client.exchange import Steps, document_of, exchange
from osteo_client.steps import FIRST_PAUSE, HOLD_SECONDS, SLOWEST_PAUSE, Image
from osteo_client.study import Probe, Study

T = TypeVar("T")


@dataclass
class StudySteps:
    """The routes below /v1/studies and /v1/webhook/probes, and redelivery."""

    build: Callable[..., httpx2.Request]
    patience: float

    def submit(
        self, images: Sequence[Image], idempotency_key: str | None, **fields: str | None
    ) -> Steps[Study]:
        """Submit several images as one study once, also when they have to be sent again."""
        files = [("image", ("image", i if isinstance(i, bytes) else Path(i).read_bytes())) for i in images]
        request = self.build(
            "POST",
            "/v1/studies",
            headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4())},
            data={name: value for name, value in fields.items() if value is not None},
            files=files,
        )
        return _read(Study.read, (yield from exchange(request, self.patience)))

    def study(self, study_id: str, hold: float = 0) -> Steps[Study]:
        """Fetch the study as it is now, or once it has ended within `hold` seconds."""
        headers = {"Prefer": f"wait={int(hold)}"} if hold >= 1 else {}
        request = self.build("GET", f"/v1/studies/{quote(study_id, safe='')}", headers=headers)
        return _read(Study.read, (yield from exchange(request, self.patience)))

    def wait(self, study_id: str, seconds: float | None) -> Steps[Study]:
        """Wait until the study has ended. Raises NotEnded."""
        deadline, pace = inf if seconds is None else monotonic() + seconds, FIRST_PAUSE
        while True:
            asked = monotonic()
            study = yield from self.study(study_id, max(0, min(HOLD_SECONDS, deadline - asked)))
            if study.ended:
                return study
            if monotonic() >= deadline:
                raise NotEnded(f"{study_id} is {study.state} after {seconds:g} s")
            # A service that holds its answers leaves no pause; with another, this is polling.
            if (pause := min(asked + pace, deadline) - monotonic()) > 0:
                yield pause
            pace = min(SLOWEST_PAUSE, pace * 1.5)

    def redeliver(self, id_: str) -> Steps[None]:
        """Have the callback of a job or study sent once more."""
        kind = "studies" if id_.startswith("study_") else "jobs"
        path = f"/v1/{kind}/{quote(id_, safe='')}/redeliver"
        yield from exchange(self.build("POST", path), self.patience)

    def send_probe(self, callback_url: str) -> Steps[Probe]:
        """Have a test event sent."""
        request = self.build("POST", "/v1/webhook/probes", json={"callback_url": callback_url})
        return _read(Probe.read, (yield from exchange(request, self.patience)))

    def probe(self, probe_id: str) -> Steps[Probe]:
        """Fetch how a test event's call ended."""
        request = self.build("GET", f"/v1/webhook/probes/{quote(probe_id, safe='')}")
        return _read(Probe.read, (yield from exchange(request, self.patience)))


def _read(read: Callable[[dict[str, Any]], T], response: httpx2.Response) -> T:
    try:
        return read(document_of(response))
    except (KeyError, TypeError, ValueError) as error:
        raise NotTheService(f"{response.url} answered with other JSON: is the address right?") from error
