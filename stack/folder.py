"""Locks the folder of one stack (OSTEO_VAR); keeps its secrets, logs, data and ready file."""

import fcntl
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from stack.errors import StartRefused


@dataclass(frozen=True)
class Secrets:
    """The secrets that this stack makes once and keeps, so that data and API keys outlive a restart."""

    redis_password: str
    s3_access_key: str
    s3_secret_key: str
    signing_key: str
    flower_password: str
    api_key: str | None = None
    webhook_secret: str | None = None
    reader_key: str | None = None
    totp_secret: str | None = None


class Folder:
    """The folder `path`, held by this process and its parts alone until all of them have ended.

    `data` are the names of the folders in it that parts keep their data in. Raises StartRefused where another
    stack holds it, or where it cannot be written.
    """

    def __init__(self, path: Path, data: Sequence[str] = ("redis", "s3", "flower")) -> None:
        self.path = path.resolve()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Radiographs lie here: no other user of this machine may read them, under any umask.
            self.path.chmod(0o700)
            for folder in ("log", *data):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "stack.lock").open("a+")
        except OSError as error:
            raise StartRefused(f"the folder {self.path} cannot be used ({error}); set OSTEO_VAR.") from error
        self._take()
        self.withdraw_ready()

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            raise StartRefused(
                f"the stack with process id {holder} holds {self.path} (or its parts are just ending);"
                " stop it, or set OSTEO_VAR to another folder."
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    @property
    def lock(self) -> int:
        """The lock's file descriptor. Parts inherit it: the folder stays taken until the last has ended."""
        return self._lock.fileno()

    def fresh_log(self, part: str) -> Path:
        """Name an absent log file for `part`; the one of the run before is kept as `.1`."""
        log = self.path / "log" / f"{part}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return log

    def secrets(self, signing_key: str | None = None) -> Secrets:
        """Return this stack's secrets, made at the first call and read at every later one.

        Another `signing_key` than the one kept takes its place, and ends the development keys. It is not
        kept before the service has taken it: it may not be the key of this stack's data.
        """
        file = self.path / "secrets.json"
        stored = json.loads(file.read_text()) if file.exists() else {}
        # rclone splits its key at a comma and wants both halves long: hex is safe in every place.
        made = {
            "redis_password": secrets.token_hex(24),
            "s3_access_key": secrets.token_hex(10),
            "s3_secret_key": secrets.token_hex(24),
            "signing_key": signing_key if signing_key and not stored else secrets.token_hex(32),
            "flower_password": secrets.token_hex(16),
        }
        known = Secrets(**made | {f.name: stored[f.name] for f in fields(Secrets) if f.name in stored})
        if not made.keys() <= stored.keys():
            self.keep(known)
        if signing_key and signing_key != known.signing_key:
            known = replace(known, api_key=None, webhook_secret=None, reader_key=None, totp_secret=None)
            return replace(known, signing_key=signing_key)
        return known

    def keep(self, known: Secrets, **changes: str | None) -> Secrets:
        """Store `known` with `changes` in it, and return that."""
        document = asdict(known) | changes
        self._write("secrets.json", document)
        return Secrets(**document)

    def publish_ready(self, ready: Mapping[str, Any]) -> None:
        """Write ready.json: everything answers."""
        self._write("ready.json", ready)

    def withdraw_ready(self) -> None:
        """Remove ready.json and settings.json: the stack ends, or has not answered yet."""
        for name in ("ready.json", "settings.json"):
            (self.path / name).unlink(missing_ok=True)

    def publish_settings(self, settings: Mapping[str, str]) -> None:
        """Write settings.json, by which the operator's commands find this stack (admin/command.py)."""
        self._write("settings.json", settings)

    def private(self, name: str, text: str) -> Path:
        """Write `text` to the file `name` in this folder, for its owner alone, in one step."""
        file = self.path / name
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(text)
        draft.replace(file)
        return file

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        self.private(name, json.dumps(document, indent=2) + "\n")
