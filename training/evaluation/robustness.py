"""Measures the network on perturbed X-rays, and the original size alone, for `training.evaluate`."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from tqdm import tqdm

from model.decode.image import decode
from model.letterbox import to_square
from training.batches.examples import entries_of
from training.data.split import TRAIN
from training.evaluation.findings import ScoredPart, compare
from training.evaluation.measures import auc
from training.evaluation.perturbations import PERTURBATIONS, Perturbation
from training.evaluation.scores import Scores
from training.evaluation.stored_scores import StoredScores

_EVERY = 3


def measure_robustness(run: Path, test: ScoredPart, scores: StoredScores) -> list[dict[str, Any]]:
    """Score every third X-ray of the test part once more after each perturbation."""
    test = ScoredPart.of(
        test.examples[::_EVERY],
        Scores(test.scores.fracture[::_EVERY], test.scores.where[::_EVERY]),
        test.calibration,
    )
    return [
        {"perturbation": name} | compare(_perturbed(run, test, scores, name, perturb), test)
        for name, perturb in PERTURBATIONS.items()
    ]


def _perturbed(
    run: Path, test: ScoredPart, scores: StoredScores, name: str, perturb: Perturbation
) -> ScoredPart:
    size = test.examples[0].square.shape[0]
    squares = [
        to_square(perturb(decode((run / example.entry.image).read_bytes()).pixels), size)
        for example in tqdm(test.examples, name, unit="image")
    ]
    return ScoredPart.of(test.examples, scores.of(f"test {name}", squares), test.calibration)


def size_only(run: Path, test: ScoredPart) -> dict[str, Any]:
    """Learn the label from nothing but the original width and height: an AUC that the pixels must beat.

    The network cannot see it, since every X-ray is letter-boxed; what it scores above this is not the size.
    """
    learned = entries_of(run, TRAIN)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    model.fit(
        np.array([(entry.width, entry.height) for entry in learned]), np.array([e.fractured for e in learned])
    )
    sizes = np.array([(example.entry.width, example.entry.height) for example in test.examples])
    probabilities = model.predict_proba(sizes)[:, 1]
    return test.area(lambda i: auc(probabilities[i], test.labels[i]))
