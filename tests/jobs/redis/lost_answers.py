"""Has Redis execute commands whose answers are lost with the connection."""

from typing import Any

import pytest
from redis import Connection, Redis
from redis.exceptions import ConnectionError as RedisAway


def lose_answers(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> None:
    """Lose the answers of the next `times` commands with `name` in an argument. One is then repeated."""
    send, left = Redis._send_command_parse_response, [times]

    def sent(client: Redis, connection: Connection, command: str, *args: Any, **options: Any) -> Any:
        answer = send(client, connection, command, *args, **options)
        if left[0] and any(name in str(argument) for argument in args):
            left[0] -= 1
            raise RedisAway("the answer is lost")
        return answer

    monkeypatch.setattr(Redis, "_send_command_parse_response", sent)
