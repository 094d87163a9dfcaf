"""Keeps which file each job was made from, in the user's own folder: names of files are never sent."""

import json
import os
from contextlib import suppress
from pathlib import Path

from osteo_client.command.whole import write_whole


class Files:
    """The files of each job at this service, `$XDG_STATE_HOME/osteo/files.jsonl`, for its owner alone."""

    def __init__(self, url: str) -> None:
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        self._list = Path(state, "osteo", "files.jsonl")
        self._url = url
        self._files: dict[str, list[str]] = {}
        # Without the list jobs are shown by their ids alone.
        with suppress(OSError):
            for line in self._list.read_text(errors="replace").splitlines():
                # Half a line is of a run that was killed.
                with suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    if entry["url"] == url:
                        self._files.setdefault(entry["job"], []).append(entry["file"])

    def of(self, job_id: str) -> list[str]:
        """List the absolute paths of this job's files; none for a job of another machine."""
        return self._files.get(job_id, [])

    def add(self, job_id: str, file: Path) -> None:
        """Record the file of a job. Raises OSError."""
        path = os.path.abspath(file)
        if path in self.of(job_id):
            return
        self._files.setdefault(job_id, []).append(path)
        self._list.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = json.dumps({"job": job_id, "file": path, "url": self._url})
        handle = os.open(self._list, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "w") as opened:
            # The newline goes first: what stands before may be half a line.
            opened.write(f"\n{line}")

    def drop(self, job_id: str) -> None:
        """Forget the files of a job that was deleted: a name may be a patient's. Raises OSError."""
        if self._files.pop(job_id, None) is None:
            return
        lines = self._list.read_text(errors="replace").splitlines()
        kept = [line for line in lines if f'"{job_id}"' not in line]
        write_whole(self._list, "\n".join(kept).encode(errors="replace"))
        self._list.chmod(0o600)
