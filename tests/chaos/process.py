"""Runs a process of the service with a stand-in for the model, which may die in windows."""

import os
import sys
from pathlib import Path

from flask import Flask

from tests.chaos.windows import WINDOWS, prepare

FOLDER = "CHAOS_FOLDER"


def prepare_all(role: str) -> None:
    """Watch the windows of this role."""
    for window in WINDOWS:
        if window.role == role:
            prepare(window, Path(os.environ[FOLDER]))


def api() -> Flask:
    """The API, for gunicorn."""
    from api.app import from_environment

    prepare_all("api")
    return from_environment()


if __name__ == "__main__":
    role = sys.argv[1]
    if role == "inference":
        import model.classifier
        from tests.chaos.stand_in import StandIn

        model.classifier.Classifier = StandIn  # type: ignore[misc, assignment]
    prepare_all(role)
    from worker.__main__ import main

    sys.exit(main())
