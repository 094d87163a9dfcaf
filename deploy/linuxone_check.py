r"""Measures speed, accuracy and offload on LinuxONE's hardware; an operator runs it in the inference image.

    docker compose -f docker-compose.linuxone.yml run --rm inference \
      python deploy/linuxone_check.py > linuxone.json

The bundled network answers on drawn radiographs, on the processor alone (NNPA_DEVICES=0) and as TensorFlow
chooses; the accelerator reckons in DLFLOAT16, so its answers differ a little. Both are run once more while
zDNN, IBM's library between TensorFlow and the accelerator, says what it does. What is found is printed as
JSON. Exit status 1 means that nothing was seen to be offloaded.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

RADIOGRAPHS = 8
SECONDS = 20
"""How long each size of batch is timed."""
WHERE_IT_RUNS = {"processor": {"NNPA_DEVICES": "0"}, "as TensorFlow chooses": {}}
TALKING = {"ZDNN_ENABLE_PRECHECK": "true", "TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "remapper=1"}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "1", "TF_CPP_VMODULE": ""}
PACKAGES = ("tensorflow", "keras", "numpy", "pillow", "pydicom")


def main() -> int:
    """Run the check and print it; 1 means that nothing was seen to be offloaded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each size of batch (%(default)s)")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(arguments.seconds)))
        return 0
    runs, said = {}, {}
    for name, environment in WHERE_IT_RUNS.items():
        print(f"timing: {name} ...", file=sys.stderr)
        runs[name], _ = _start(environment | QUIET, arguments.seconds)
        print(f"listening to zDNN: {name} ...", file=sys.stderr)
        _, said[name] = _start(environment | TALKING, 0)
    offload = offloaded(said)
    document = {
        "machine": _describe_machine(),
        "versions": {name: version(name) for name in PACKAGES},
        "runs": runs,
        "accuracy": differences(*runs.values()),
        "offload": offload,
    }
    print(json.dumps(document, indent=1))
    return 0 if offload["seen"] else 1


def _start(environment: dict[str, str], seconds: float) -> tuple[dict[str, Any], list[str]]:
    """Start this script's `run` as a process; return its results, and every line that libraries wrote."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("NNPA_DEVICES", *TALKING)}
    done = subprocess.run(
        [sys.executable, __file__, "--run", "--seconds", str(seconds)],
        env=inherited | environment,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise SystemExit(f"the network did not run:\n{done.stderr[-4000:]}")
    *lines, found = done.stdout.splitlines()
    return json.loads(found), [*lines, *done.stderr.splitlines()]


def run(seconds: float) -> dict[str, Any]:
    """Load the bundled network, answer on drawn radiographs and time it."""
    from model.classifier import LARGEST_BATCH, Classifier
    from model.decode.image import Radiograph
    from model.synthetic import draw_forearm

    began = time.monotonic()
    classifier = Classifier.load(ROOT / "model" / "bundle", "tensorflow")
    loaded = time.monotonic() - began
    drawn = [Radiograph(draw_forearm(seed).pixels, "PNG", 0.0, "") for seed in range(RADIOGRAPHS)]
    inputs = [classifier.prepare(radiograph) for radiograph in drawn]
    answers = classifier.run(inputs)
    speeds = {}
    for batch in (1, LARGEST_BATCH) if seconds else ():
        done, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            classifier.run(inputs[:batch])
            done += batch
        speeds[str(batch)] = round(done / (time.monotonic() - began), 3)
    return {
        "model": [classifier.name, classifier.version, classifier.sha256],
        "seconds to load": round(loaded, 1),
        "images a second by size of batch": speeds,
        "findings": [classifier.explain(*pair).finding for pair in zip(drawn, answers, strict=True)],
        "scores": [answer.score for answer in answers],
        "cells": [[round(float(cell), 6) for cell in answer.cells.ravel()] for answer in answers],
    }


def _describe_machine() -> dict[str, Any]:
    """Describe the machine."""
    from worker.inference.accelerator import accelerator

    return {
        "architecture": platform.machine(),
        "byte order": sys.byteorder,
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "accelerator": accelerator(os.environ) or "not an s390x: there can be none",
    }


def differences(alone: dict[str, Any], chosen: dict[str, Any]) -> dict[str, float]:
    """Measure how far the second run's answers are from the first one's. Scores and cells lie in 0..1."""
    pairs = zip(alone["findings"], chosen["findings"], strict=True)
    return {"findings that differ": sum(one != other for one, other in pairs)} | {
        f"largest difference of {what}": float(np.abs(np.array(chosen[what]) - np.array(alone[what])).max())
        for what in ("scores", "cells")
    }


def offloaded(said: dict[str, list[str]]) -> dict[str, Any]:
    """Compare what zDNN wrote: offload was seen where it wrote more in the second run than in the first."""
    calls = {name: [line for line in lines if "zdnn" in line.lower()] for name, lines in said.items()}
    remapped = {name: [line for line in lines if "remapper" in line] for name, lines in said.items()}
    alone, chosen = WHERE_IT_RUNS
    seen = len(calls[chosen]) > len(calls[alone])
    return {
        "seen": seen,
        "in words": "zDNN was called"
        if seen
        else "NOT OFFLOADED: zDNN said nothing, so the processor did all of it",
        "lines of zDNN": {name: len(lines) for name, lines in calls.items()},
        "lines of the remapper": {name: len(lines) for name, lines in remapped.items()},
        "examples": [*calls[chosen][:5], *remapped[chosen][:20]],
    }


if __name__ == "__main__":
    sys.exit(main())
