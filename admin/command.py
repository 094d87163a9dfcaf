"""What the operator's commands share: where they find the service's settings, and how they print."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs.settings import Settings, SettingsError

STORES = ("REDIS_URL", "S3_ENDPOINT_URL", "S3_BUCKET")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
SIGNING_KEY = "OSTEO_SIGNING_KEY"
_SETTINGS_FILE = "settings.json"
"""What `make up` writes into $OSTEO_VAR while it runs: the variables of its service."""


def settings_of_command(signs: bool = False, needs: Iterable[str] = ("REDIS_URL",)) -> Settings:
    """The settings of the service that a command is for: those of the environment, or of a running `make up`.

    Where the environment names no store, those of the stack in $OSTEO_VAR are taken into the environment, for
    boto3 too; what else of ours is set there stays as it is. A command that hands out secrets `signs`.
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


def tell(lines: Iterable[Mapping[str, Any]]) -> None:
    """Print a line of JSON for each. A reader that has gone is no error: nothing more is printed.

    What changes anything is done before it is told: `lines` may then no longer be read to their end.
    """
    try:
        for line in lines:
            print(json.dumps(line), flush=True)
    except BrokenPipeError:
        # Python would complain once more at its end, of what it could not write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_stack(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the stack that runs in `folder`, without those that the environment sets to others."""
    with suppress(FileNotFoundError):
        try:
            known: dict[str, str] = json.loads((folder / _SETTINGS_FILE).read_text())
        except PermissionError as error:
            raise SettingsError(f"{folder} is not yours: run this as the user who runs `make up`") from error
        # Credentials of the person's own would not open the stack's store.
        return {k: v for k, v in known.items() if not (k.startswith("OSTEO_") and environment.get(k))}
    return {}
