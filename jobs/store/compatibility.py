"""Checks that the data in the stores fit this process: their layout, and the signing key of their clients.

Marks in both name the two. Every process and command checks them before it does anything else. Where they
differ it refuses to start: it would misread what is stored, or hand out secrets that no callback is signed
with.
"""

import hashlib
import hmac
import json
import logging
import re
from contextlib import suppress
from typing import Any

from redis import Redis

from jobs.record.errors import Conflict, NotStored, QueueUnavailable
from jobs.redis.client import translated
from jobs.settings import SettingsError
from jobs.store.objects import LAYOUT_MARK, Objects, layout_mark
from jobs.store.records import Records
from jobs.version import LAYOUT, VERSION

log = logging.getLogger(__name__)

SIGNING_KEY = "signing-key"
"""The record of the bucket that holds the fingerprint."""
_LEDGER = re.compile(r"jobs/[^/]+/ledger/\d{6}")

_WIPE = (
    "stop all parts, wipe Redis (FLUSHDB; with `make up` remove the folder `redis` in $OSTEO_VAR) and start"
    " again. No job is lost: what Redis held is rebuilt from the object store"
)


class WrongStore(SettingsError):
    """A store holds what this version cannot read, or belongs to another signing key."""


def fingerprint(signing_key: str) -> str:
    """What tells one signing key from another, and tells nothing else of it."""
    # A key is a secret of 32 characters at least: a hash of it cannot be reversed by guessing.
    return hmac.new(signing_key.encode(), b"osteo fingerprint", hashlib.sha256).hexdigest()[:16]


class Compatibility:
    """The marks of one bucket and its Redis. Marks that are not there are made by the first who may."""

    def __init__(self, records: Records, redis: Redis, signing_key: str = "", may_mark: bool = True) -> None:
        """`signing_key` is empty in a process that signs nothing; `may_mark`: whether it may write marks."""
        self._records = records
        self._redis = redis
        self._signing_key = signing_key
        self._may_mark = may_mark
        self._agreed = False

    def check(self) -> None:
        """Return if the stores are of this layout and signing key; they are not asked again once they were.

        Raises WrongStore, and TransientError where a store that has to be asked does not answer.
        """
        if self._agreed:
            return
        self._compare_layout(self._records.objects)
        with suppress(QueueUnavailable):
            compare_redis(self._redis, self._may_mark)
        if self._signing_key:
            self._compare_signing_key()
        self._agreed = True

    def replace_signing_key(self) -> str | None:
        """Make this process's signing key the one of the bucket. Return the fingerprint of the one before."""
        before = self._records.read(SIGNING_KEY)
        self._records.change(SIGNING_KEY, lambda _: self._fingerprint_record())
        return json.loads(before)["fingerprint"] if before else None

    def _compare_layout(self, objects: Objects) -> None:
        try:
            mark: dict[str, Any] = json.loads(objects.get(LAYOUT_MARK))
        except NotStored:
            self._without_mark(objects)
            return
        if mark["layout"] != LAYOUT:
            raise WrongStore(
                f"the bucket holds data of layout {mark['layout']}, begun by version {mark['version']};"
                f" this is version {VERSION}, which reads layout {LAYOUT}. Start a version that reads them,"
                " or name another bucket in S3_BUCKET"
            )

    def _without_mark(self, objects: Objects) -> None:
        """Recognise the data of versions that wrote no mark, and mark the bucket."""
        first = next(objects.keys("jobs/"), None)
        if first and (not _LEDGER.fullmatch(first) or first.endswith("/000001")):
            raise WrongStore(
                f"the bucket holds jobs of version 0.1.0, which version {VERSION} cannot read."
                " Start 0.1.0 for them, or name another bucket in S3_BUCKET"
            )
        if not self._may_mark:
            return  # A process that may write marks finds the same.
        if first or next(objects.keys("pending/"), None):
            with translated(self._redis):
                if self._redis.dbsize():
                    raise WrongStore(
                        f"Redis holds what a version before {VERSION} wrote, which is not read: {_WIPE}"
                    )
        with suppress(Conflict):
            objects.put_new(LAYOUT_MARK, layout_mark())

    def _compare_signing_key(self) -> None:
        record = self._records.read(SIGNING_KEY)
        if record is None:
            record = self._records.change(
                SIGNING_KEY, lambda before: before or self._fingerprint_record(), at_any_price=True
            )
        assert record
        known, own = json.loads(record)["fingerprint"], fingerprint(self._signing_key)
        if known != own:
            raise WrongStore(
                "OSTEO_SIGNING_KEY is not the key of this bucket: its clients' webhook secrets are derived"
                f" from another one (fingerprint {known}; this one has {own}). Set the key that belongs to"
                " the bucket. Where it is lost, `python -m admin.signing_key replace` takes this one, and"
                " tells each client's new secret"
            )

    def _fingerprint_record(self) -> bytes:
        return json.dumps({"fingerprint": fingerprint(self._signing_key)}).encode()


def compare_redis(redis: Redis, may_mark: bool = True) -> None:
    """Return if this Redis has no mark of another layout; mark it.

    Raises WrongStore and QueueUnavailable.
    """
    with translated(redis):
        mark: Any = redis.get(LAYOUT_MARK)
        if mark is None and may_mark:
            redis.set(LAYOUT_MARK, LAYOUT, nx=True)
    if mark is not None and mark != str(LAYOUT).encode():
        raise WrongStore(
            f"Redis holds data of layout {mark.decode(errors='replace')}, and version {VERSION} reads layout"
            f" {LAYOUT}: {_WIPE}"
        )
