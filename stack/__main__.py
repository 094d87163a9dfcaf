"""The command line of the stack: `python -m stack up`, `demo [IMAGE]` and `monitor`."""

import argparse
import os
import sys
from pathlib import Path

from stack.demo import SYNTHETIC, demo
from stack.development import EXAMPLE
from stack.errors import StartRefused
from stack.monitor import monitor
from stack.say import say
from stack.up import up


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="run the whole service in the foreground until Ctrl-C")
    one = commands.add_parser("demo", help="start it, analyse one radiograph, print the job as JSON, stop it")
    one.add_argument(
        "image",
        nargs="?",
        type=Path,
        default=EXAMPLE,
        help=f"the radiograph; the example unless given, a drawn one by the name `{SYNTHETIC}`",
    )
    commands.add_parser("monitor", help="run Prometheus and Alertmanager beside `up`, until Ctrl-C")
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            return up(os.environ)
        if arguments.command == "monitor":
            return monitor(os.environ)
        return demo(os.environ, arguments.image)
    except StartRefused as reason:
        say(f"cannot start: {reason}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
