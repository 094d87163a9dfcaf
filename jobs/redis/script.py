"""Reads the Lua scripts of the folder `scripts`. Redis runs each of them in one step."""

from importlib.resources import files

from redis import Redis
from redis.commands.core import Script

_SCRIPTS = files("jobs.redis") / "scripts"


def script(redis: Redis, *names: str) -> Script:
    """Register the script of these names: first the functions that it needs, and the script itself last.

    The head of each file documents its KEYS, ARGV and return value.
    """
    return redis.register_script("".join((_SCRIPTS / f"{name}.lua").read_text() for name in names))
