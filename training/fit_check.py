"""Fits `model.radiograph_check` on features of the run's network: `python -m training.fit_check --run RUN`.

It runs after `training.train` and before `training.evaluate`, which puts radiograph_check.json and its
measures into the bundle.
"""

import argparse
import json
from pathlib import Path

from model.bundle import CHECK
from training.evaluation.radiograph_check import METRICS, fit_and_measure
from training.network.backend import prepare_backend
from training.network.trained import config_of
from training.run.atomic_file import write_json
from training.run.errors import exit_with_message

_DATA = Path("../shared/data/photographs-128")
_PHOTOGRAPHS = [_DATA / "caltech101.zip", _DATA / "imagenette.zip"]


def main() -> None:
    """Run `python -m training.fit_check`."""
    parser = argparse.ArgumentParser(description="Fit the check that a picture is a radiograph.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--photographs", type=Path, nargs="+", default=_PHOTOGRAPHS, help="zips of KIND_anything.webp"
    )
    parser.add_argument(
        "--xrays", type=Path, nargs="*", default=[], help="the same, of X-rays from elsewhere"
    )
    options = parser.parse_args()
    with exit_with_message("fit_check"):
        prepare_backend(config_of(options.run).threads)
        check, metrics = fit_and_measure(options.run, options.photographs, options.xrays)
    (options.run / CHECK).write_text(check.to_json(), encoding="utf-8")
    write_json(options.run / METRICS, metrics)
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
