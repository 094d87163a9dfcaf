"""Write docs/settings.md, the page of every setting: `python -m admin.settings_page`."""

import ast
from dataclasses import Field, fields
from inspect import cleandoc
from pathlib import Path
from typing import Any

import jobs.settings
from admin.settings_reads import settings_read_from, settings_read_in
from jobs.settings import Settings

PAGE = Path(jobs.settings.__file__).parents[1] / "docs" / "settings.md"
STARTS = {
    "api": ("api.app:from_environment", "api.server.worker:Worker"),
    "inference": ("worker.roles:run_inference",),
    "delivery": ("worker.roles:run_delivery",),
    "sweeper": ("worker.roles:run_sweeper",),
    "shadow": ("worker.rollout.role:run_shadow",),
    "commands": (
        *(
            "admin.alive:main",
            "admin.audit:main",
            "admin.bucket:main",
            "admin.keys:main",
            "admin.models:main",
            "admin.readers:main",
            "admin.signing_key:main",
        ),
        "admin.dead_letters:main",
    ),
}
"""Where each role begins."""
WORKERS = ("inference", "delivery", "sweeper", "shadow")
SIGNING = ("api", "delivery", "commands")
"""The roles that are given the signing key; the others start without one."""
UNITS = {
    "SECONDS": ((86_400, "days"), (3_600, "hours"), (60, "minutes")),
    "BYTES": ((2**30, "GiB"), (2**20, "MiB")),
}
"""Larger units of what a setting's name ends with."""
HEAD = """\
# Settings

Written by `python -m admin.settings_page` from `jobs/settings.py` and from the code that reads it; do not
edit it by hand.

A process reads its settings from environment variables, once, when it starts. An empty variable stands for
the default. A process whose setting is of the wrong kind or out of its range does not start, and names the
setting. A variable that begins with `OSTEO_` and is no setting gets a warning in the log.
`docker-compose.yml` gives every setting that is no secret to every role.

The last column names the roles that read a setting: `api`, the workers `inference`, `delivery`,
`sweeper` and `shadow`, and `commands`, which are those of [operate.md](operate.md). Every role also needs an
account at the S3 server. boto3 reads it by itself: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
`AWS_DEFAULT_REGION`, an AWS profile or a role.

| setting | meaning | default | range | read by |
|---|---|---|---|---|
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page in Markdown, a row for each setting."""
    meanings, roles = _meanings(), roles_of_settings()
    rows = (
        [
            f"`{setting.metadata['env']}`",
            meanings[setting.name],
            _default(setting),
            _range(setting),
            ", ".join(roles[setting.name]),
        ]
        for setting in fields(Settings)
    )
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def roles_of_settings() -> dict[str, list[str]]:
    """Return the roles that read each field of Settings, in the order of STARTS."""
    read = {role: settings_read_from("jobs.store.stores:Stores", *starts) for role, starts in STARTS.items()}
    for role in WORKERS:
        read[role] |= settings_read_in("worker.__main__")
    for role in read.keys() - set(SIGNING):
        read[role].discard("signing_key")
    return {
        setting.name: [role for role in STARTS if setting.name in read[role]] for setting in fields(Settings)
    }


def _meanings() -> dict[str, str]:
    """The docstring below each field, on one line. Raises KeyError where a field has none."""
    tree = ast.parse(Path(jobs.settings.__file__).read_text(encoding="utf-8"))
    (table,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    return {
        field.target.id: " ".join(cleandoc(text.value.value).split())
        for field, text in zip(table.body, table.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _default(setting: Field[Any]) -> str:
    if setting.name == "signing_key":
        return "none: it is required"
    if not setting.default and setting.default != 0:
        return "none"
    return _quantity(setting, setting.default)


def _range(setting: Field[Any]) -> str:
    within = setting.metadata["within"]
    return " to ".join(_quantity(setting, edge) for edge in within) if within else ""


def _quantity(setting: Field[Any], value: Any) -> str:
    """The value as it is written in the environment, and in the largest unit that it is a whole number of."""
    written = f"`{value:g}`" if isinstance(value, float) and value < 1e6 else f"`{value}`"
    if not isinstance(value, int | float):
        return written
    for size, unit in UNITS.get(setting.metadata["env"].rpartition("_")[2], ()):
        if value and value % size == 0:
            return f"{written} ({value / size:,.0f} {unit.removesuffix('s') if value == size else unit})"
    return written


if __name__ == "__main__":
    main()
