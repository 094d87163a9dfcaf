"""Receives the targets of one client, verified, and passes them to robots: `python -m robot --help`."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import closing
from threading import Event, Thread

import waitress

from jobs.logs import log_as_json
from jobs.settings import https_url
from robot.clock import ServiceClock
from robot.options import add_options, open_transports
from robot.receiver import MOST_BYTES, receiver
from robot.relay import Relay

log = logging.getLogger("robot")

_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]+=*")
_CLIENT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def main() -> int:
    """Run until SIGTERM. Return 2 for a wrong argument, secret or address."""
    options = _parser().parse_args()
    log_as_json("INFO")
    try:
        _run(options, os.environ)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m robot", description=__doc__)
    parser.add_argument("--client", required=True, help="the client of the service whose targets they are")
    parser.add_argument(
        "--service", required=True, metavar="URL", help="the service: its clock is compared with ours"
    )
    parser.add_argument("--service-ca", metavar="FILE", help="the certificates that sign the service's")
    parser.add_argument(
        "--listen", default="127.0.0.1:8900", metavar="HOST:PORT", help="where callbacks are received"
    )
    parser.add_argument(
        "--max-age", type=float, metavar="SECONDS", help="pass no actionable target of an older picture"
    )
    add_options(parser)
    return parser


def _run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    secret = environment.get("OSTEO_WEBHOOK_SECRET", "")
    if not _SECRET.fullmatch(secret):
        raise ValueError("OSTEO_WEBHOOK_SECRET is not set to the secret of the client's callbacks: whsec_...")
    if not _CLIENT.fullmatch(options.client):
        raise ValueError("--client is the name of a client of the service")
    try:
        clock = ServiceClock(https_url(options.service), options.service_ca)
    except OSError as error:
        raise ValueError(f"--service-ca {options.service_ca}: {error}") from error
    except ValueError as error:
        raise ValueError("--service is https://host, or http:// on this machine") from error
    transports = open_transports(options, options.client)
    if not transports:
        raise ValueError("name at least one of --mqtt, --igtl and --ros")
    with closing(Relay(transports, clock, options.max_age)) as relay:
        app = receiver(relay, secret)
        try:
            server = waitress.create_server(
                app, listen=options.listen, max_request_body_size=MOST_BYTES, channel_timeout=30, ident=None
            )
        except (ValueError, OSError) as error:
            raise ValueError(f"--listen {options.listen}: {error}") from error
        ended = Event()
        for work in (clock.compare_until, relay.tell_status_until):
            Thread(target=work, args=(ended,), name=work.__name__, daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit())
        log.info("receiving at %s", options.listen)
        server.run()  # It ends at SystemExit.
        ended.set()


if __name__ == "__main__":
    sys.exit(main())
