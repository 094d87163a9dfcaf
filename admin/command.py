"""Finds the settings of the service for the operator's commands, and prints what they answer."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from jobs.record.errors import TransientError
from jobs.settings import Settings, SettingsError
from jobs.store.stores import Stores

STORES = ("REDIS_URL", "S3_ENDPOINT_URL", "S3_BUCKET")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
SIGNING_KEY = "OSTEO_SIGNING_KEY"
_SETTINGS_FILE = "settings.json"
"""The file in $OSTEO_VAR that `make up` writes while it runs: the variables of its service."""


def settings_of_command(signs: bool = False, needs: Iterable[str] = ("REDIS_URL",)) -> Settings:
    """Return the settings of the service: those of the environment, or of a running `make up`.

    Where the environment names no store, the variables of the stack in $OSTEO_VAR are added to it, for boto3
    too; an OSTEO_ variable that is set stays as it is. A command that prints webhook secrets `signs`.
    Raises SettingsError, which names what is missing.
    """
    if not any(os.environ.get(name) for name in STORES):
        folder = Path(os.environ.get("OSTEO_VAR") or "var").resolve()
        os.environ.update(_of_stack(folder, os.environ))
    else:
        folder = None
    missing = [name for name in (*needs, *([SIGNING_KEY] if signs else [])) if not os.environ.get(name)]
    if missing:
        also = [name for name in ("S3_ENDPOINT_URL", *_CREDENTIALS) if not os.environ.get(name)]
        where = f"no stack of `make up` runs in {folder} (OSTEO_VAR names its folder), and " if folder else ""
        raise SettingsError(
            f"{where}the environment lacks {', '.join(dict.fromkeys([*missing, *also]))}."
            " Set what the service itself runs with, or in containers: docker compose exec api python -m ..."
        )
    return Settings.from_environment(os.environ, signs=signs)


def run_subcommand(
    arguments: Namespace, lines: Callable[[Namespace, Settings, Stores], Iterable[Mapping[str, Any]]]
) -> int:
    """Print the `lines` of a subcommand that may print secrets, and return its exit status.

    1 for a LookupError: there is no such thing. 2 for a wrong setting or value, or a store that is away.
    """
    try:
        settings = settings_of_command(signs=True)
        with closing(Stores.connect(settings)) as stores:
            stores.check()
            told = lines(arguments, settings, stores)
            # All changes are made before the first is printed. A list may be long, and changes nothing.
            print_lines(told if arguments.command == "list" else list(told))
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 1
    except (SettingsError, ValueError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def print_lines(lines: Iterable[Mapping[str, Any]]) -> None:
    """Print each as a line of JSON, as `print_text` does."""
    print_text(map(json.dumps, lines))


def print_text(lines: Iterable[str]) -> None:
    """Print each line. Where the reader has closed the pipe, stop without an error.

    Not all `lines` are read then, so a command makes its changes before it prints.
    """
    try:
        for line in lines:
            print(line, flush=True)
    except BrokenPipeError:
        # Else Python reports the closed pipe once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_stack(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the stack in `folder`, without OSTEO_ variables that the environment sets."""
    with suppress(FileNotFoundError):
        try:
            known: dict[str, str] = json.loads((folder / _SETTINGS_FILE).read_text())
        except PermissionError as error:
            raise SettingsError(f"{folder} is not yours: run this as the user who runs `make up`") from error
        # The person's own S3 credentials do not open the stack's store.
        return {k: v for k, v in known.items() if not (k.startswith("OSTEO_") and environment.get(k))}
    return {}
