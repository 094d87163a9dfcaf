"""Lets Celery keep one client of Redis for each channel, in place of a new one for each operation.

redis-py takes 0.2 ms of a core to make a client, which is more than the command that it is made for. A client
has no state of its own: its connections are those of the channel's pool, as before.
"""

from typing import Any

from kombu.transport import redis
from redis import Redis


class _OneClient:
    """A channel that makes its client once for each of its pools."""

    _kept: Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> Redis:
        if asynchronous:  # Each of these has a connection of its own, and is kept by the channel.
            client: Redis = super()._create_client(asynchronous=True)  # type: ignore[misc]
            return client
        pool: Any = self.pool  # type: ignore[attr-defined]
        kept = self._kept
        if kept is None or kept.connection_pool is not pool:  # The pool is new after a lost connection.
            self._kept = kept = super()._create_client()  # type: ignore[misc]
        return kept


class _Channel(_OneClient, redis.Channel):
    """A channel to one Redis."""


class _SentinelChannel(_OneClient, redis.SentinelChannel):
    """A channel to the master that sentinels name."""


class RedisTransport(redis.Transport):
    """Reaches a Redis by redis:// or rediss://."""

    Channel = _Channel


class SentinelTransport(redis.SentinelTransport):
    """Reaches the Redis that sentinels name as master."""

    Channel = _SentinelChannel


def transport_of(broker: str) -> str:
    """Return the name of the transport for this address of a broker, as Celery takes it."""
    kind = SentinelTransport if broker.startswith("sentinel") else RedisTransport
    return f"{kind.__module__}:{kind.__name__}"
