"""Shows or sets who reads a client's jobs, and how: `python -m admin.reading_policy CLIENT [...]`."""

import argparse
import sys
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial

from admin.command import print_lines, settings_of_command
from jobs.reading.policy import OPEN_RANGE, Policies, ReadingPolicy
from jobs.reading.reader import GROUP
from jobs.reading.states import Mode, Wish
from jobs.record.errors import TransientError
from jobs.settings import SettingsError
from jobs.store.audit import AuditEntry
from jobs.store.stores import Stores


def main() -> int:
    """Run the command. Return 2 for a wrong setting, name or value."""
    arguments = _parser().parse_args()
    try:
        with closing(Stores.connect(settings_of_command(signs=False))) as stores:
            stores.check()
            policies = Policies(stores.records)
            wanted = partial(_wanted, arguments)
            if wanted(present := policies.of(arguments.client)) != present:
                present = policies.change(arguments.client, wanted)
                stores.audit.record_durably(AuditEntry(arguments.client, "setReadingPolicy"))
            print_lines([{"client": arguments.client, **asdict(present)}])
    except (SettingsError, ValueError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m admin.reading_policy", description=__doc__)
    parser.add_argument("client")
    parser.add_argument("--groups", help="the groups of readers, separated by commas; empty for none")
    parser.add_argument(
        "--mode",
        type=Mode,
        choices=list(Mode),
        help="whether readers see the model's answer before a finding",
    )
    parser.add_argument(
        "--read", type=Wish, choices=list(Wish), help="when a job is read whose submission does not say"
    )
    least, most = OPEN_RANGE
    parser.add_argument(
        "--open", type=int, help=f"open readings beyond which none is requested, {least} to {most}"
    )
    parser.add_argument(
        "--training",
        choices=("allowed", "forbidden"),
        help="whether a submission may allow that models learn from it",
    )
    parser.add_argument("--sample", type=float, help="the share of jobs that `sample` has read, from 0 to 1")
    return parser


def _wanted(arguments: argparse.Namespace, present: ReadingPolicy) -> ReadingPolicy:
    wanted = present
    if not GROUP.fullmatch(arguments.client):
        raise ValueError("a client's name has 1 to 63 lower-case letters, digits and hyphens")
    if arguments.groups is not None:
        groups = tuple(filter(None, arguments.groups.split(",")))
        if wrong := [group for group in groups if not GROUP.fullmatch(group)]:
            raise ValueError(
                f"a group's name has 1 to 63 lower-case letters, digits and hyphens: {wrong[0]!r}"
            )
        wanted = replace(wanted, groups=groups)
    if arguments.sample is not None:
        if not 0 <= arguments.sample <= 1:
            raise ValueError("--sample is a share, from 0 to 1")
        wanted = replace(wanted, sample=arguments.sample)
    if arguments.open is not None:
        if not OPEN_RANGE[0] <= arguments.open <= OPEN_RANGE[1]:
            raise ValueError(f"--open is a number from {OPEN_RANGE[0]} to {OPEN_RANGE[1]}")
        wanted = replace(wanted, most_open=arguments.open)
    if arguments.training is not None:
        wanted = replace(wanted, training=arguments.training == "allowed")
    changes = {"mode": arguments.mode, "wish": arguments.read}
    return replace(wanted, **{name: value for name, value in changes.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
