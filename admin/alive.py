"""Says by its exit status whether a worker of a role lives on this host: `python -m admin.alive ROLE`."""

import argparse
import os
import socket
import sys

from jobs.logs import log_as_json
from jobs.record.errors import TransientError
from jobs.redis.view import View
from jobs.settings import Settings, SettingsError, warn_of_unknown

_ROLES = ("inference", "delivery", "sweeper")


def main() -> int:
    """End with 0 where a process of the role has a heartbeat, 1 where none has, 2 for a wrong setting."""
    parser = argparse.ArgumentParser(prog="python -m admin.alive", description=__doc__)
    parser.add_argument("role", choices=_ROLES)
    role = parser.parse_args().role
    try:
        settings = Settings.from_environment(os.environ, signs=False)
        log_as_json(settings.log_level)
        warn_of_unknown(os.environ)
        view = View.connect(settings.redis_url, settings.view_seconds)
        return 0 if view.heartbeats.alive(f"{role}:{socket.gethostname()}:") else 1
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except TransientError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
