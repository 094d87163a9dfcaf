"""Start one worker process: `python -m worker inference|delivery|sweeper`, or ask whether one is alive."""

import argparse
import logging
import os
import signal
import sys
from threading import Event

from jobs.logs import log_as_json
from jobs.settings import Settings, SettingsError, warn_of_unknown
from jobs.store.start import await_stores
from model.errors import BundleRefused, NoEngine
from worker.inference.accelerator import accelerator
from worker.roles import QUEUES_OF_ROLE, is_alive, run_delivery, run_inference, run_sweeper

log = logging.getLogger("worker")


def main() -> int:
    """Run the role named on the command line; 2 means that a setting or the bundle is wrong."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("command", choices=[*QUEUES_OF_ROLE, "alive"])
    parser.add_argument("role", nargs="?", choices=list(QUEUES_OF_ROLE), help="with `alive`: whose heartbeat")
    arguments = parser.parse_args()
    if (arguments.command == "alive") != bool(arguments.role):
        parser.error("`alive` takes a role, the others do not")
    try:
        settings = Settings.from_environment(os.environ, signs=arguments.command == "delivery")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    log_as_json(settings.log_level)
    warn_of_unknown(os.environ)
    if arguments.command == "alive":
        return 0 if is_alive(settings, arguments.role) else 1
    try:
        # Inference may write no mark, and holds no key: the others do.
        await_stores(settings, may_mark=arguments.command != "inference")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.command == "inference":
        if said := accelerator(os.environ):
            log.info(said)
        try:
            run_inference(settings)
        except (BundleRefused, NoEngine) as error:
            print(error, file=sys.stderr)
            return 2
    elif arguments.command == "delivery":
        run_delivery(settings)
    else:
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run_sweeper(settings, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
