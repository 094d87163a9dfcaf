"""Reads and writes a bundle: the folder of a trained model, with its weights, graph, check and card.

`training.evaluate` writes it, `model.classifier` reads it; checksums refuse what was altered on its way.
"""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from model.errors import BundleRefused
from model.letterbox import PREPROCESSING_VERSION

WEIGHTS, GRAPH, MANIFEST = "weights.npz", "graph.onnx", "bundle.json"
CHECK, CARD, MEASURED = "radiograph_check.json", "MODEL_CARD.md", "metrics.json"
_FORMAT, _BEFORE = 3, 2
"""The format before had no calibration of regions; training may begin with such a bundle."""


@dataclass(frozen=True)
class Calibration:
    """Turns a network's score into a probability: sigmoid(logit / temperature + bias)."""

    temperature: float
    bias: float


@dataclass(frozen=True)
class RegionCalibration:
    """Turns a region's hottest cell into a share: sigmoid(slope * logit + bias).

    The share is how often such a region of a fractured X-ray lies on a fracture. The region's score is this
    share times the X-ray's own probability.
    """

    slope: float
    bias: float

    def share(self, cell: float) -> float:
        """Turn the hottest cell's 0..1 into the share of such regions that lie on a fracture."""
        clipped = min(max(cell, 1e-6), 1 - 1e-6)
        logit = math.log(clipped / (1 - clipped))
        return 1 / (1 + math.exp(-(self.slope * logit + self.bias)))


@dataclass(frozen=True)
class Thresholds:
    """Thresholds on calibrated probabilities, chosen on the validation part.

    Below `low` (95 % sensitivity) there is no fracture, from `high` (95 % specificity) there is one, between
    them the model does not know. A cell of the localisation map counts from `region`.
    """

    low: float
    high: float
    region: float


@dataclass(frozen=True)
class Description:
    """The entries of bundle.json about a model, besides its files."""

    name: str
    version: str
    backbone: str
    input_size: int
    thresholds: Thresholds
    calibration: Calibration
    region_calibration: RegionCalibration
    metrics: dict[str, Any]
    data: str
    licence: str
    preprocessing_version: int = PREPROCESSING_VERSION

    @property
    def rests_on_enough(self) -> bool:
        """Whether calibration and thresholds are known to rest on enough X-rays (training.evaluation)."""
        return bool(self.metrics.get("fixed_on", {}).get("enough"))


@dataclass(frozen=True)
class Bundle:
    """A verified bundle; `sha256` is that of the weights, and names the model in results.

    `digest` is the SHA-256 of its manifest, which has the checksum of every other file: it names the whole.
    `files` are those that it has: what else lies in the folder is no part of the bundle.
    """

    folder: Path
    description: Description
    sha256: str
    digest: str
    files: frozenset[str]


def read_bundle(folder: Path, for_training: bool = False) -> Bundle:
    """Read and verify a bundle; BundleRefused says which file is wrong and what to do.

    `for_training` takes one of another preprocessing, too: its weights are a beginning, not yet a model.
    """
    manifest = folder / MANIFEST
    try:
        text = manifest.read_bytes()
        values = json.loads(text)
        checksums, description = values["files"], _description(values, for_training)
    except OSError as error:
        raise BundleRefused(f"no bundle in {folder}: {error.strerror}. Train one or set its path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(f"{manifest} is damaged ({error}); fetch the bundle again") from error
    if not for_training and description.preprocessing_version != PREPROCESSING_VERSION:
        raise BundleRefused(
            f"{manifest} wants preprocessing {description.preprocessing_version}, this code does "
            f"{PREPROCESSING_VERSION}: use the code it was trained with, or train it again"
        )
    if missing := {WEIGHTS, GRAPH, CHECK, CARD} - set(checksums):
        raise BundleRefused(
            f"{manifest} has no checksum of {', '.join(sorted(missing))}; fetch the bundle again"
        )
    for name, expected in checksums.items():
        if not (folder / name).is_file():
            raise BundleRefused(f"{folder / name} is missing; fetch the bundle again")
        if _sha256(folder / name) != expected:
            raise BundleRefused(f"{folder / name} does not match its checksum; fetch the bundle again")
    digest = hashlib.sha256(text).hexdigest()
    return Bundle(folder, description, checksums[WEIGHTS], digest, frozenset(checksums))


def refuse_replaced(bundle: Bundle) -> None:
    """Return where the folder still holds this bundle; BundleRefused where it was replaced since."""
    manifest = bundle.folder / MANIFEST
    if not manifest.is_file() or _sha256(manifest) != bundle.digest:
        raise BundleRefused(f"{bundle.folder} was replaced while it was loaded; load it again")


def read_metrics(bundle: Bundle) -> dict[str, Any]:
    """Read what `training.evaluate` measured of the bundle; empty where it does not carry that."""
    if MEASURED not in bundle.files:
        return {}
    metrics: dict[str, Any] = json.loads((bundle.folder / MEASURED).read_text(encoding="utf-8"))
    return metrics


def write_bundle(
    folder: Path,
    description: Description,
    write_weights: Callable[[Path], None],
    graph: bytes,
    texts: dict[str, str],
    others: Mapping[str, Callable[[Path], None]] | None = None,
) -> Bundle:
    """Write a whole bundle beside `folder`, then put it in its place; a reader never sees half of one.

    `write_weights` is given the path to write to; `graph` is the network as model.onnx_graph writes it;
    `texts` maps the other files' names to their content, `others` to what writes them to a path.
    BundleRefused where `folder` holds anything but a bundle.
    """
    refuse_to_replace(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    new.chmod(0o755)
    write_weights(new / WEIGHTS)
    (new / GRAPH).write_bytes(graph)
    for name, text in texts.items():
        (new / name).write_text(text, encoding="utf-8")
    for name, write in (others or {}).items():
        write(new / name)
    files = {name: _sha256(new / name) for name in sorted([WEIGHTS, GRAPH, *texts, *(others or {})])}
    values = {"format": _FORMAT, **asdict(description), "files": files}
    (new / MANIFEST).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.replace(folder, old)
        os.replace(new, folder)
        shutil.rmtree(old)
    else:
        os.replace(new, folder)
    return read_bundle(folder)


def refuse_to_replace(folder: Path) -> None:
    """Return where a bundle may be written to `folder`; BundleRefused where that would remove other files."""
    if folder.exists() and not (folder.is_dir() and ((folder / MANIFEST).is_file() or _is_empty(folder))):
        raise BundleRefused(f"{folder} is not a bundle, and is not replaced; name a new folder")


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _description(values: dict[str, Any], for_training: bool) -> Description:
    if for_training and values["format"] == _BEFORE:
        values = values | {"format": _FORMAT, "region_calibration": {"slope": 1.0, "bias": 0.0}}
    if values["format"] != _FORMAT:
        raise ValueError(f"format {values['format']}, not {_FORMAT}")
    named = {field.name: values[field.name] for field in fields(Description)}
    named["thresholds"] = Thresholds(**named["thresholds"])
    named["calibration"] = Calibration(**named["calibration"])
    named["region_calibration"] = RegionCalibration(**named["region_calibration"])
    return Description(**named)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
