"""Keeps what was submitted from a folder, beside the X-rays, so that an interrupted run can go on."""

import hashlib
import json
import os
from pathlib import Path

NAME = ".osteo-submitted.jsonl"


def key_of(image: bytes, *fields: str | None) -> str:
    """Make the idempotency key of a submission: the same in any run for the same image and fields."""
    digest = hashlib.sha256(json.dumps(fields).encode())
    digest.update(hashlib.sha256(image).digest())
    return digest.hexdigest()


class Submitted:
    """The job of each idempotency key that was used from this folder, at this service."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.kept = True
        """Whether what is added is kept; False once that has failed."""
        self._file = folder / NAME
        self._url = url
        self._jobs: dict[str, str] = {}
        self.unread: OSError | None = None
        """Why the file of earlier runs could not be read."""
        try:
            self._load()
        except OSError as error:
            self.unread = error

    def _load(self) -> None:
        for line in self._file.read_text(errors="replace").splitlines() if self._file.exists() else ():
            try:
                entry = json.loads(line)
                if entry["url"] == self._url:
                    self._jobs[entry["key"]] = entry["job"]
            except (ValueError, KeyError, TypeError):
                # Half a line, of a run that was killed: that image is sent again, and makes no second job.
                continue

    def job_of(self, key: str) -> str | None:
        """Return the id of the job that was made with this key."""
        return self._jobs.get(key)

    def add(self, key: str, job_id: str) -> None:
        """Record a job; when this returns it is on the disk. Raises OSError."""
        line = json.dumps({"key": key, "job": job_id, "url": self._url})
        self._jobs[key] = job_id
        with self._file.open("a") as opened:
            # The newline goes first: what stands before may be half a line.
            opened.write(f"\n{line}")
            opened.flush()
            os.fsync(opened.fileno())
