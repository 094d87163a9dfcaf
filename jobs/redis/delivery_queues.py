"""Keeps a queue of due callbacks for each receiver of each client, and gives call slots for them.

The view updates these queues with each version of a job. They are lost and rebuilt with the view. A slot is
stored under `turn:<id>` and listed in `turns:<client>`: the names are older than the word.
"""

import time
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from redis import Redis

from jobs.redis.client import translated
from jobs.redis.heartbeats import HEARTBEAT_SECONDS
from jobs.redis.receiver_circuit_breaker import FAILURES
from jobs.redis.script import script
from jobs.redis.task_ids import QueueMessage, messages_of

DELIVERY_THREADS = 48
"""Most call slots that one delivery worker holds at once.

A slot lasts longer than its call: the stores are asked some twenty times for it, one after another.
"""
CLIENT_SLOTS = DELIVERY_THREADS // 4
"""Most call slots of one client at once: a quarter of a worker's threads."""
RECEIVER_SLOTS = CLIENT_SLOTS * 3 // 4
"""Most call slots of one receiver at once, so that a slow one does not take all of its client's."""
PROBES = "probes"
"""Stands for a receiver in the queue of a client's test events. No origin has this name."""

_REPEAT_SECONDS = 2
"""Pause after a call slot that left its callback due, for example because a store did not answer."""
MESSAGE_SECONDS = 5
"""Longest time that a message is on its way to a worker. The call slot of a lost message is given again."""
_TAKEN = "taken:deliver"


@dataclass(frozen=True)
class CallSlot:
    """The right to make one call: for `item`, the id of a job, a study or a test event."""

    item: str
    client: str
    origin: str
    token: str
    latest: int | None
    """The version of the job, if there is no later one; None where that is not certain.

    It is None as well where the outcome of a call for the job was lost, and for a test event.
    """


@dataclass(frozen=True)
class DeliveryQueue:
    """The callbacks that wait for one receiver of one client: how many, and when the first is due."""

    client: str
    origin: str
    """`PROBES` stands for the client's test events."""
    count: int
    due: float
    """In seconds since the epoch."""


class DeliveryQueues:
    """All delivery queues. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._join = script(redis, "join_delivery_queue")
        self._next = script(redis, "lives", "slot_is_held", "lose_call", "messages_left", "give_call_slots")
        self._begin = script(
            redis,
            "lives",
            "slot_is_held",
            "lose_call",
            "server_id",
            "knows_locks",
            "mark_taken",
            "begin_call",
        )
        self._end = script(redis, "lose_call", "end_call")

    def join(self, client: str, probe_id: str) -> None:
        """Put a test event into its client's queue. The view puts the callbacks of jobs into theirs."""
        keys = [delivery_queue_key(client, PROBES), receivers_key(client), "callbacks"]
        with translated(self._redis):
            self._join(keys=keys, args=[probe_id, time.time(), PROBES, client])

    def next(self, client: str, queue: str) -> list[QueueMessage]:
        """Give call slots as far as the client has room, and return what to put into the `queue`."""
        keys = [f"turns:{client}", receivers_key(client), "callbacks", queue, "paused", _TAKEN]
        limits = [CLIENT_SLOTS, RECEIVER_SLOTS, FAILURES, MESSAGE_SECONDS, HEARTBEAT_SECONDS]
        with translated(self._redis):
            chosen: Any = self._next(keys=keys, args=[client, PROBES, time.time(), *limits])
        return messages_of(chosen)

    def clients(self) -> list[str]:
        """Return the clients for whom `next` is to be called now."""
        with translated(self._redis):
            found: Any = self._redis.zrangebyscore("callbacks", "-inf", time.time())
        return [client.decode() for client in found]

    def by_receiver(self) -> list["DeliveryQueue"]:
        """Return each queue in which callbacks wait, the one that is due first at the top."""
        with translated(self._redis):
            clients: Any = self._redis.zrange("callbacks", 0, -1)
            pipe = self._redis.pipeline(transaction=False)
            for client in clients:
                pipe.zrange(receivers_key(client.decode()), 0, -1)
            keys = [
                (client.decode(), origin.decode())
                for client, origins in zip(clients, pipe.execute(), strict=True)
                for origin in origins
            ]
            for key in keys:
                pipe.zcard(delivery_queue_key(*key))
                pipe.zrange(delivery_queue_key(*key), 0, 0, withscores=True)
            answers = pipe.execute()
        found = zip(keys, answers[::2], answers[1::2], strict=True)
        queues = [DeliveryQueue(*key, count, first[0][1]) for key, count, first in found if first]
        return sorted(queues, key=lambda queue: queue.due)

    def begin(self, item: str, token: str, seconds: float) -> CallSlot | None:
        """Hold the call slot of `item` for at most `seconds`, and return it. `token`: see `new_token`.

        Returns None where there is no slot, where another token holds it, or where the receiver is paused.
        After QueueUnavailable the token may hold the slot all the same: ask again with the same token.
        The slot is free again once the token's process has died. The receiver may then be called a second
        time, under the same id.
        """
        now = time.time()
        with translated(self._redis):
            found: Any = self._begin(
                keys=[f"turn:{item}", "paused", f"job:{item}", "memory", _TAKEN],
                args=[item, token, now, now + seconds, HEARTBEAT_SECONDS],
            )
        if not found:
            return None
        client, origin, latest = (text.decode() for text in found)
        return CallSlot(item, client, origin, token, int(latest) if latest else None)

    def holder(self, item: str) -> str | None:
        """Return the process that holds the call slot of `item`, as the name of its heartbeat, or None."""
        with translated(self._redis):
            token: Any = self._redis.hget(f"turn:{item}", "holder")
        return token.decode().rpartition("/")[0] if token else None

    def leave(self, slot: CallSlot) -> None:
        """Remove what this slot is for from its queue: no call is left to make."""
        with translated(self._redis):
            self._redis.zrem(delivery_queue_key(slot.client, slot.origin), slot.item)

    def end(self, slot: CallSlot, lost: bool = False) -> None:
        """Give the slot back. A callback that is still due comes again _REPEAT_SECONDS later.

        `lost`: a call may have been made whose outcome is not recorded.
        """
        queue = delivery_queue_key(slot.client, slot.origin)
        with translated(self._redis):
            self._end(
                keys=[f"turn:{slot.item}", f"turns:{slot.client}", queue, f"job:{slot.item}"],
                args=[slot.item, slot.token, time.time(), _REPEAT_SECONDS, int(lost)],
            )


def new_token(process: str) -> str:
    """Make a token that holds one call slot. `process`: the name of the process' heartbeat."""
    return f"{process}/{token_hex(8)}"


def delivery_queue_key(client: str, origin: str) -> str:
    """Return the key of a delivery queue: the callbacks to one receiver by the time that they are due."""
    return f"callbacks:{client}:{origin}"


def receivers_key(client: str) -> str:
    """Return the key of a client's receivers with a delivery queue, by the time of the next look at each."""
    return f"receivers:{client}"
