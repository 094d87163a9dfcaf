"""Checks whether a worker of a role lives on this host: `python -m admin.alive ROLE`.

Kubernetes restarts a worker by it, and then adds `--redis-may-be-down`: without Redis there is no heartbeat
of any worker, and a restart mends nothing.
"""

import argparse
import os
import socket
import sys

from admin.command import settings_of_command
from jobs.logs import log_as_json
from jobs.record.errors import TransientError
from jobs.redis.view import View
from jobs.settings import SettingsError, warn_of_unknown

_ROLES = ("inference", "delivery", "sweeper", "shadow")


def main() -> int:
    """Return 0 where a process of the role has a heartbeat, 1 where none has, 2 for a wrong setting.

    Where Redis does not answer, return 1, or 0 if `--redis-may-be-down` was given.
    """
    parser = argparse.ArgumentParser(prog="python -m admin.alive", description=__doc__)
    parser.add_argument("role", choices=_ROLES)
    parser.add_argument(
        "--redis-may-be-down", action="store_true", help="end with 0 where Redis does not answer"
    )
    arguments = parser.parse_args()
    try:
        settings = settings_of_command()
        log_as_json(settings.log_level)
        warn_of_unknown(os.environ)
        view = View.connect(settings.redis_url, settings.view_seconds)
        return 0 if view.heartbeats.alive(f"{arguments.role}:{socket.gethostname()}:") else 1
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except TransientError as error:
        print(error, file=sys.stderr)
        return 0 if arguments.redis_may_be_down else 1


if __name__ == "__main__":
    sys.exit(main())
