"""Tells the whole story of one job or study, oldest first: `python -m admin.story JOB [--text]`."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress

from admin.command import print_lines, print_text, settings_of_command
from admin.history import Line, Story
from jobs.record.errors import NotStored, TransientError
from jobs.record.ids import is_id
from jobs.settings import SettingsError
from jobs.store.stores import Stores


def table_of(lines: Iterable[Line]) -> Iterator[str]:
    """Return the rows of a table for a person: time in UTC, what it is, and all that is known of it."""
    for line in lines:
        known = {
            name: value for name, value in line.items() if name not in ("at", "kind") and value is not None
        }
        text = ", ".join(f"{name.replace('_', ' ')} {_cell(value)}" for name, value in known.items())
        # What a store holds must not steer a terminal.
        shown = "".join(sign if sign.isprintable() else "?" for sign in text)
        yield f"{line['at'] or '':24}  {line['kind']:8}  {shown}"


def main() -> int:
    """Print the story. Return 1 where there is no such job, 2 for a wrong setting or no answer at all."""
    parser = argparse.ArgumentParser(prog="python -m admin.story", description=__doc__)
    parser.add_argument("id", metavar="JOB", help="the id of a job or a study")
    parser.add_argument("--text", action="store_true", help="a table for a person instead of JSON")
    arguments = parser.parse_args()
    if not (is_id("job", arguments.id) or is_id("study", arguments.id)):
        parser.error(f"not an id of a job or a study: {arguments.id}")
    try:
        with closing(Stores.connect(settings_of_command())) as stores:
            with suppress(TransientError):  # The story names the store that does not answer.
                stores.check(may_mark=False)
            lines = Story(arguments.id, stores).lines()
            if arguments.text:
                print_text(table_of(lines))
            else:
                print_lines(lines)
    except NotStored:
        print(f"there is no {arguments.id.partition('_')[0]} {arguments.id}", file=sys.stderr)
        return 1
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _cell(value: object) -> str:
    if isinstance(value, dict):  # An error: its type, and a sentence.
        return ": ".join(map(str, value.values()))
    if isinstance(value, list):
        return " and ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
