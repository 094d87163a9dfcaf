"""Runs a process of the service with a stand-in for the model, which may die in windows."""

import os
import sys
from pathlib import Path

from flask import Flask

from tests.chaos.stand_in import FOLDER, ShadowStandIn, StandIn
from tests.chaos.windows import WINDOWS, prepare


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
    if role in ("inference", "shadow"):
        import model.classifier
        import worker.rollout.trial

        # A trial is another process, which does not know the stand-in.
        worker.rollout.trial.Trial.__call__ = lambda *_: None  # type: ignore[method-assign]
        model.classifier.Classifier = ShadowStandIn if role == "shadow" else StandIn  # type: ignore[misc]
    prepare_all(role)
    from worker.__main__ import main

    sys.exit(main())
