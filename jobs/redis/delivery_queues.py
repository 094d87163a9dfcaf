"""The callbacks that are due, a line for each receiver of each client, and whose turn it is to be called.

Kept in Redis: the view writes a job's place in its line with each version; lost and rebuilt with the view.
"""

import time
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from redis import Redis

from jobs.redis.circuit_breaker import FAILURES
from jobs.redis.client import translated
from jobs.redis.heartbeats import HEARTBEAT_SECONDS
from jobs.redis.script import script

DELIVERY_THREADS = 16
"""Calls that one delivery worker makes at once."""
CLIENT_CALLS = DELIVERY_THREADS // 4
"""Calls of one client at once, in the queue or being made: at most a quarter of a worker's threads."""
RECEIVER_CALLS = CLIENT_CALLS - 1
"""Calls to one of a client's receivers at once: one that is slow leaves room for the client's others."""
PROBES = "probes"
"""The line of a client's test events, one at a time. It is no receiver: no origin has this name."""

_REPEAT_SECONDS = 2
"""Pause after a turn that left its callback due, because a store did not answer for example."""
MESSAGE_SECONDS, _QUEUED_SECONDS = 5, 300
"""Seconds after which a turn that no worker has begun is given again: the first where the queue is empty, so
that its message is lost, the second where the message may still wait."""


@dataclass(frozen=True)
class CallSlot:
    """The right to make one call: for `item`, the id of a job, a study or a test event."""

    item: str
    client: str
    origin: str
    token: str


class DeliveryQueues:
    """Every callback that is owed. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._join = script(redis, "join_delivery_queue")
        self._next = script(redis, "lives", "slot_is_held", "give_call_slots")
        self._begin = script(redis, "lives", "slot_is_held", "begin_call")
        self._end = script(redis, "end_call")

    def join(self, client: str, probe_id: str) -> None:
        """Put a test event into its client's line; a job's callback is put there by the view."""
        keys = [line_key(client, PROBES), receivers_key(client), "callbacks"]
        with translated(self._redis):
            self._join(keys=keys, args=[probe_id, time.time(), PROBES, client])

    def next(self, client: str, queue: str) -> list[str]:
        """The ids to put into the `queue` now, as far as the client has room; each is given one turn."""
        keys = [f"turns:{client}", receivers_key(client), "callbacks", queue, "paused"]
        limits = [CLIENT_CALLS, RECEIVER_CALLS, FAILURES, MESSAGE_SECONDS, _QUEUED_SECONDS, HEARTBEAT_SECONDS]
        with translated(self._redis):
            chosen: Any = self._next(keys=keys, args=[client, PROBES, time.time(), *limits])
        return [item.decode() for item in chosen]

    def clients(self) -> list[str]:
        """The clients for whom `next` has to be asked now."""
        with translated(self._redis):
            found: Any = self._redis.zrangebyscore("callbacks", "-inf", time.time())
        return [client.decode() for client in found]

    def begin(self, item: str, process: str, seconds: float) -> CallSlot | None:
        """The turn of `item`, to be ended within `seconds`.

        None where it has none, where another holds it, or where its receiver has been paused meanwhile.

        It is free again once the `process` (the name of its heartbeat) has died: the receiver may then be
        called a second time, under the same id.
        """
        token, now = f"{process}/{token_hex(8)}", time.time()
        with translated(self._redis):
            found: Any = self._begin(
                keys=[f"turn:{item}", "paused"], args=[item, token, now, now + seconds, HEARTBEAT_SECONDS]
            )
        return CallSlot(item, found[0].decode(), found[1].decode(), token) if found else None

    def leave(self, turn: CallSlot) -> None:
        """Take what this turn is for out of its line: nothing is left to call for."""
        with translated(self._redis):
            self._redis.zrem(line_key(turn.client, turn.origin), turn.item)

    def end(self, turn: CallSlot) -> None:
        """Give the turn back. A callback that is still due comes again _REPEAT_SECONDS later."""
        line = line_key(turn.client, turn.origin)
        with translated(self._redis):
            self._end(
                keys=[f"turn:{turn.item}", f"turns:{turn.client}", line],
                args=[turn.item, turn.token, time.time(), _REPEAT_SECONDS],
            )


def line_key(client: str, origin: str) -> str:
    """Where the callbacks that a client's receiver is owed stand, by the time that they are due."""
    return f"callbacks:{client}:{origin}"


def receivers_key(client: str) -> str:
    """Which receivers of a client have such a line, by the time that they are looked at next."""
    return f"receivers:{client}"
