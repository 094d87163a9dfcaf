"""Makes a Redis that has just started appear as one that has run for a while."""

from typing import Any

from redis import Redis


def remembers_all(redis: Redis) -> None:
    """Let this Redis be believed to know every write lock: else the ledger looks twice for 40 seconds."""
    server: Any = redis.info("server")
    redis.hset("memory", mapping={"server": server["run_id"], "since": 0})
