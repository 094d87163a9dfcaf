"""Fits `model.radiograph_check` on X-rays against gray photographs: `python -m training.fit_check`.

Writes radiograph_check.json, which `training.export` puts into the bundle, and radiograph_check_metrics.json.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.image import decode
from model.radiograph_check import RadiographCheck, features
from model.synthetic import draw_forearm
from training.examples import read_labels

CHECK, METRICS = "radiograph_check.json", "radiograph_check_metrics.json"
_PASSING = 0.998
"""X-rays of the fitting part that must pass; held-out ones then stay above 99.5 %."""
_PHOTOGRAPHS, _DRAWINGS = 20_000, 60
_HELD_OUT = 5
_MAX_CHROMA, _MIN_CONTRAST = 0.10, 4.0


def fit(xrays: np.ndarray, photographs: np.ndarray, ridge: float = 1.0) -> RadiographCheck:
    """Fit by Newton's method on (n, features) of either kind, both kinds counting alike."""
    x = np.vstack([xrays, photographs])
    y = np.repeat([1.0, 0.0], [len(xrays), len(photographs)])
    weight = np.where(y == 1, len(y) / len(xrays), len(y) / len(photographs)) / 2
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    design = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    penalty = ridge * np.diag([1.0] * x.shape[1] + [0.0])
    beta = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        slope = design.T @ (weight * (y - p)) - penalty @ beta
        curvature = design.T @ (design * (weight * p * (1 - p))[:, None]) + penalty
        beta += np.linalg.solve(curvature, slope)
    scores = design[: len(xrays)] @ beta
    threshold = float(np.quantile(scores, 1 - _PASSING))
    return RadiographCheck(
        tuple(mean), tuple(scale), tuple(beta[:-1]), float(beta[-1]), threshold, _MAX_CHROMA, _MIN_CONTRAST
    )


def _xrays(shared: Path) -> Iterator[tuple[str, np.ndarray]]:
    for row in read_labels(shared / "fracatlas"):
        yield f"f{row['group']}", decode((shared / "fracatlas/images" / row["image"]).read_bytes()).pixels
    for path in sorted((shared / "bonedata/images").iterdir()):
        yield path.stem, decode(path.read_bytes()).pixels
    for seed in range(_DRAWINGS):
        yield f"s{seed}", draw_forearm(seed, fracture=seed % 2 == 0).pixels


def _photographs(shared: Path, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    names = []
    for archive in sorted((shared / "tiny-imagenet-gray").glob("*.zip")):
        with zipfile.ZipFile(archive) as held:
            names += [(archive, name) for name in sorted(held.namelist()) if name.endswith(".webp")]
    chosen = [names[i] for i in sorted(random.choice(len(names), _PHOTOGRAPHS, replace=False))]
    opened = {archive: zipfile.ZipFile(archive) for archive in {archive for archive, _ in chosen}}
    for archive, name in chosen:
        with Image.open(io.BytesIO(opened[archive].read(name))) as picture:
            yield Path(name).name.split("_")[0], np.asarray(picture.convert("L"))


def _measure(pictures: Iterator[tuple[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    described = [
        (tie, features(pixels)) for tie, pixels in tqdm(pictures, "measuring", unit="image", mininterval=1)
    ]
    return np.array([tie for tie, _ in described]), np.array([vector for _, vector in described])


def _held_out(ties: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mark a fifth of the ties: a group of X-rays or a class of photographs is never on both sides."""
    unique = np.unique(ties)
    return np.isin(ties, random.choice(unique, len(unique) // _HELD_OUT, replace=False))


def main() -> None:
    """Run `python -m training.fit_check`."""
    parser = argparse.ArgumentParser(description="Fit the check that a picture is a radiograph.")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("var/first-bundle"), help="folder of the run")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20261123)
    x_ties, x = _measure(_xrays(options.shared))
    p_ties, p = _measure(_photographs(options.shared, random))
    x_out, p_out = _held_out(x_ties, random), _held_out(p_ties, random)
    check = fit(x[~x_out], p[~p_out])

    def passing(vectors: np.ndarray) -> float:
        standard = (vectors - np.array(check.mean)) / np.array(check.scale)
        return float((standard @ np.array(check.coefficients) + check.intercept >= check.threshold).mean())

    real = x_out & ~np.char.startswith(x_ties, "s")
    metrics = {
        "xrays_held_out": int(real.sum()),
        "xrays_passing": passing(x[real]),
        "photographs_held_out": int(p_out.sum()),
        "photographs_refused": 1 - passing(p[p_out]),
    }
    (options.out / CHECK).write_text(check.to_json(), encoding="utf-8")
    (options.out / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
