"""Stores the registrations of a marker with its job, before a camera and in the radiograph: numbers alone."""

import json
from datetime import datetime
from typing import Any

from jobs.record.job import moment_text
from jobs.store.records import Records

BY_CAMERA, BY_FILM = "registration", "film"
"""The kinds: before a camera, and in the radiograph."""


class Registrations:
    """The registrations of one kind, at `jobs/<job id>/<kind>/`. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records, kind: str) -> None:
        self._records, self._kind = records, kind

    def of(self, job_id: str) -> dict[str, Any] | None:
        """Return the registration of a job that was put last, with `at` and `revision`; None without one."""
        return _read(self._records.read(self._key(job_id)))

    def put(self, job_id: str, numbers: dict[str, Any], at: datetime) -> dict[str, Any]:
        """Make `numbers` the registration of the job, and return it as `of` does.

        `at` is its moment, and `revision` counts those of the job. The same numbers again change neither.
        """

        def changed(record: bytes | None) -> bytes:
            before = _read(record)
            told = before["revision"] if before else 0
            if before is not None and before == {**numbers, "at": before["at"], "revision": told}:
                return record or b""
            return json.dumps({**numbers, "at": moment_text(at), "revision": told + 1}).encode()

        after = _read(self._records.change(self._key(job_id), changed))
        assert after is not None
        return after

    def forget(self, job_id: str) -> None:
        """Erase the registration of a job that was deleted meanwhile."""
        self._records.change(self._key(job_id), lambda _: None, at_any_price=True)

    def _key(self, job_id: str) -> str:
        return f"jobs/{job_id}/{self._kind}/"


def _read(record: bytes | None) -> dict[str, Any] | None:
    return dict(json.loads(record)) if record else None
