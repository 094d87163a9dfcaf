"""Says which bundle is active, which is the canary and which the shadow: one record, `models/active`."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from jobs.record.job import moment_text, now
from jobs.record.record_json import record_to_json, values_from_json
from jobs.store.recent import Recent
from jobs.store.records import Records

KEY = "models/active"
MOST_CANARY = 50.0
"""Percent of the jobs that a canary gets at most. A bundle gets more by promotion alone, past the gate."""
_MOST_BEFORE = 10


@dataclass(frozen=True)
class RollOut:
    """One version of the record. Bundles are named by their digests, parts of the jobs in percent.

    Without `active` each worker's own bundle (OSTEO_BUNDLE) answers. `before` has what was active before, the
    last one first.
    """

    active: str | None = None
    canary: str | None = None
    canary_percent: float = 0.0
    shadow: str | None = None
    shadow_percent: float = 0.0
    before: tuple[str | None, ...] = ()
    changed_at: str | None = None
    later: dict[str, Any] = field(default_factory=dict)
    """Fields of a later version of this program."""

    @property
    def at_hand(self) -> set[str | None]:
        """The bundles whose files a machine keeps: those with a part, and the one for a roll-back."""
        return {self.active, self.canary, self.shadow, *self.before[:1]}

    def assigned(self, job_id: str) -> str | None:
        """Return the canary if this job is in its share, else None. A larger share keeps its jobs."""
        return self.canary if _share("canary", job_id) < self.canary_percent else None

    def shadowed(self, job_id: str) -> bool:
        """Return whether the shadow scores a copy of this job."""
        return self.shadow is not None and _share("shadow", job_id) < self.shadow_percent

    def with_canary(self, digest: str, percent: float) -> "RollOut":
        """Return it with this canary; 0 percent ends it.

        Raises ValueError for a share out of its range, and for 0 percent of a bundle that is not the canary.
        """
        _check(percent, MOST_CANARY)
        _check_end(percent, digest, self.canary, "canary")
        return self._changed(canary=digest if percent else None, canary_percent=percent)

    def with_shadow(self, digest: str, percent: float) -> "RollOut":
        """Return it with this shadow; 0 percent ends it. Raises ValueError as `with_canary` does."""
        _check(percent, 100.0)
        _check_end(percent, digest, self.shadow, "shadow")
        return self._changed(shadow=digest if percent else None, shadow_percent=percent)

    def promoted(self, digest: str) -> "RollOut":
        """Return it with this bundle as the active one. A canary ends, and so does its own shadow."""
        if digest == self.active:
            return self
        before = (self.active, *self.before)[:_MOST_BEFORE]
        ended = {"shadow": None, "shadow_percent": 0.0} if self.shadow == digest else {}
        return self._changed(active=digest, before=before, canary=None, canary_percent=0.0, **ended)

    def rolled_back(self) -> "RollOut":
        """Return it without its canary; where there is none, with what was active before.

        Where nothing was, each worker's own bundle answers again; where it does already, nothing changes.
        """
        if self.canary:
            return self._changed(canary=None, canary_percent=0.0)
        if self.active is None and not self.before:
            return self
        return self._changed(active=self.before[0] if self.before else None, before=self.before[1:])

    def _changed(self, **changes: Any) -> "RollOut":
        return replace(self, changed_at=moment_text(now()), **changes)


class RollOuts:
    """The record in the object store. Both methods may raise StoreUnavailable."""

    def __init__(self, records: Records, remembered: float = 0.0) -> None:
        """`remembered`: for how many seconds `read` returns what it has read before."""
        self._records = records
        self._recent = Recent[RollOut](remembered)

    def read(self) -> RollOut:
        """Return the present version."""
        return self._recent.get(KEY, lambda: _read(self._records.read(KEY)))

    def change(self, change: Callable[[RollOut], RollOut]) -> RollOut:
        """Write what `change` makes of the present version by compare-and-set, and return it.

        Raises what `change` raises. Without Redis the object store decides between two writers.
        """

        def changed(record: bytes | None) -> bytes | None:
            present = _read(record)
            after = change(present)
            return record if after == present else _text(after)

        written = self._records.change(KEY, changed, at_any_price=True)
        return self._recent.put(KEY, _read(written))


def _share(part: str, job_id: str) -> float:
    """Return where the job lies between 0 and 100, by a hash of its id: for each part at another place."""
    return int.from_bytes(hashlib.sha256(f"{part} {job_id}".encode()).digest()[:4], "big") * 100 / 2**32


def _check(percent: float, most: float) -> None:
    if not 0 <= percent <= most:
        raise ValueError(f"{percent:g} percent is out of its range: from 0 to {most:g}")


def _check_end(percent: float, digest: str, present: str | None, part: str) -> None:
    # Else the audit log would name another bundle than the one that ended.
    if percent == 0 and digest != present:
        raise ValueError(f"{digest[:16]} is not the {part}, so that 0 percent ends nothing")


def _read(record: bytes | None) -> RollOut:
    if record is None:
        return RollOut()
    values = values_from_json(RollOut, record, ())
    return RollOut(**values | {"before": tuple(values["before"])})


def _text(roll_out: RollOut) -> bytes:
    return record_to_json(roll_out, str)
