"""Starts one worker process: `python -m worker inference|delivery|sweeper|shadow`."""

import argparse
import logging
import os
import signal
import sys
from contextlib import closing
from threading import Event

from jobs.logs import log_as_json
from jobs.settings import Settings, SettingsError, warn_of_unknown
from jobs.spans import record_spans, stop_recording
from jobs.store.stores import Stores
from model.errors import BundleRefused, NoEngine
from worker.inference.accelerator import accelerator
from worker.roles import QUEUES_OF_ROLE, run_delivery, run_inference, run_sweeper
from worker.rollout.role import run_shadow

log = logging.getLogger("worker")


def main() -> int:
    """Run the role named on the command line. Return 2 for a wrong setting or bundle."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("role", choices=[*QUEUES_OF_ROLE, "shadow"])
    role = parser.parse_args().role
    try:
        settings = Settings.from_environment(os.environ, signs=role == "delivery")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    log_as_json(settings.log_level)
    warn_of_unknown(os.environ)
    try:
        record_spans(settings.otlp_endpoint, role)
        with closing(Stores.connect(settings)) as stores:
            # Inference and the shadow have no right to write a mark; the other roles have it.
            stores.await_answers(may_mark=role not in ("inference", "shadow"))
        _run(role, settings)
    except (SettingsError, BundleRefused, NoEngine) as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        stop_recording()
    return 0


def _run(role: str, settings: Settings) -> None:
    if role == "inference":
        if description := accelerator(os.environ):
            log.info(description)
        run_inference(settings)
    elif role == "delivery":
        run_delivery(settings)
    else:
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run = run_shadow if role == "shadow" else run_sweeper
        run(settings, stop)


if __name__ == "__main__":
    sys.exit(main())
