"""Defines the event of targets as transports get it: verified, parsed, and byte for byte."""

import json
import re
from dataclasses import dataclass, field

from jobs.record.events import TARGETS_EVENT
from jobs.targets.documents import TargetsDocument
from jobs.targets.freshness import moment_ns

_NANO = 10**9
_ID = re.compile(r"[A-Za-z0-9_-]+")


class NotTargets(ValueError):
    """A verified body is no event of targets as this version knows them. The message says why."""


@dataclass(frozen=True)
class VerifiedTargets:
    """A verified CloudEvent of targets. Times are in nanoseconds since 1970."""

    id: str
    """The `webhook-id`: the same on every attempt."""
    job: str
    sequence: int
    actionable: bool
    """Whether the document says that it or a target is. It says that data are valid, never `go`."""
    produced_ns: int
    acquired_ns: int | None
    """The stamp of all data. None where it is unknown; nothing is then actionable."""
    valid_until_ns: int | None
    traceparent: str | None
    raw: bytes = field(repr=False)
    """The CloudEvent as it was received and signed."""
    document: TargetsDocument = field(repr=False)
    """Its `data`."""

    @property
    def order(self) -> tuple[int, int]:
        """What orders the events of a job: a lower one is older, and void."""
        return self.sequence, self.produced_ns

    def remaining_s(self, now_ns: int) -> float:
        """Return the seconds of validity that are left at `now_ns`; 0 where none are, or none is known."""
        return max(0, (self.valid_until_ns or 0) - now_ns) / _NANO


def type_of(body: bytes) -> str:
    """Return the type of a verified event. Raises NotTargets."""
    try:
        return str(json.loads(body)["type"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotTargets("the event has no type") from error


def verified_targets(body: bytes, traceparent: str | None) -> VerifiedTargets:
    """Return the event in the verified body of a CloudEvent of type `org.osteo.targets.v1`.

    Raises NotTargets.
    """
    try:
        event = json.loads(body)
        data: TargetsDocument = event["data"]
        claims = [data["actionable"], *(target["actionable"] for target in data["targets"])]
        if type(data["sequence"]) is not int or any(type(claim) is not bool for claim in claims):
            raise TypeError("sequence is an integer, and actionable true or false")
        made = VerifiedTargets(
            id=event["id"],
            job=data["job"],
            sequence=data["sequence"],
            actionable=any(claims),
            produced_ns=moment_ns(data["produced_at"]),
            acquired_ns=_moment_or_none(data["acquired_at"]),
            valid_until_ns=_moment_or_none(data["valid_until"]),
            traceparent=traceparent,
            raw=body,
            document=data,
        )
        named = event["type"], event["subject"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotTargets(f"a field of the event is missing or of another kind: {error!r}") from error
    if named != (TARGETS_EVENT, made.job) or not _ID.fullmatch(made.job):
        raise NotTargets("the type or the subject of the event is another one")
    return made


def _moment_or_none(text: str | None) -> int | None:
    return None if text is None else moment_ns(text)
