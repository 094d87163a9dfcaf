"""Turns a hospital's own folders into a sample: what was answered, refused and left out."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import Bundle
from model.classifier import calibrate
from training.data.fingerprints import Fingerprints
from training.data.known_xrays import KnownXrays, coarse_of, read_known, with_fitted
from training.data.layouts import Found, describe, find_xrays
from training.data.manifest import ManifestRow
from training.data.near_duplicates import find_near_duplicates
from training.data.split import join_groups
from training.evaluation.external.served import NO_RADIOGRAPH, UNREADABLE, Served, serve
from training.evaluation.figures import FEWEST
from training.evaluation.sample import Sample
from training.run.errors import StepRefused

_CONFLICT = "copy-with-other-label"
_VIEWS = {
    "AP": "frontal",
    "PA": "frontal",
    "LL": "lateral",
    "RL": "lateral",
    "RLO": "oblique",
    "LLO": "oblique",
}


@dataclass(frozen=True)
class Site:
    """The labelled X-rays of a place, and a bundle's answer about each.

    `entries`, `served` and `groups` (m,) are of all files that are there and carry one label; `left_out`
    counts the others by reason. `grouped` of the files have a group from their folder.
    """

    folders: Sequence[str]
    entries: Sequence[ManifestRow]
    served: Sequence[Served]
    groups: np.ndarray
    grouped: int
    left_out: dict[str, int]

    @cached_property
    def answered(self) -> np.ndarray:
        """Whether the network has answered, bool (m,)."""
        return np.array([one.score is not None for one in self.served], bool)

    @cached_property
    def scores(self) -> np.ndarray:
        """The network's scores of those answered, not calibrated, float (n,)."""
        return np.array([one.score for one in self.served if one.score is not None])

    def sample(self, probabilities: np.ndarray) -> Sample:
        """Make a sample of those answered, with probabilities float (n,)."""
        kept = np.flatnonzero(self.answered)
        return Sample([self.entries[i] for i in kept.tolist()], self.groups[kept], probabilities)

    def transported(self, bundle: Bundle) -> Sample:
        """Make a sample of those answered, with the bundle's own calibration."""
        return self.sample(calibrate(self.scores, bundle.description.calibration))

    def describe(self) -> dict[str, Any]:
        """Describe the place without a name of a file; `digest` is one of all its images' digests."""
        digests = sorted({entry.sha256 for entry in self.entries})
        return {
            "folders": list(self.folders),
            "images": len(self.entries),
            "fractured": sum(entry.fractured for entry in self.entries),
            "answered": int(self.answered.sum()),
            "left_out": self.left_out,
            "groups": len(np.unique(self.groups)),
            "grouped": self.grouped,
            "digests": len(digests),
            "digest": hashlib.sha256("\n".join(digests).encode()).hexdigest(),
        }

    def refusals(self) -> dict[str, Any]:
        """Measure how many are refused, by kind, of all and of the fractured, and count the reasons."""
        everything = Sample(self.entries, self.groups, np.zeros(len(self.entries)))
        kinds = np.array([one.refused for one in self.served])
        reasons = Counter((one.refused, one.why) for one in self.served if one.refused)
        return {
            "kinds": [
                {
                    "kind": kind,
                    "of_all": everything.share(kinds == kind),
                    "of_fractured": everything.share(kinds == kind, everything.labels),
                }
                for kind in (NO_RADIOGRAPH, UNREADABLE)
            ],
            "reasons": [
                {"kind": kind, "why": why, "n": count} for (kind, why), count in reasons.most_common()
            ],
        }

    def warnings(self) -> list[dict[str, Any]]:
        """Measure how many of those answered have each warning, the most frequent first."""
        sample = self.sample(self.scores)
        of_each = [one.warnings for one in self.served if one.score is not None]
        count = Counter(kind for kinds in of_each for kind in kinds)
        return [
            {"type": kind, "of_answered": sample.share(np.array([kind in kinds for kinds in of_each]))}
            for kind, _ in count.most_common()
        ]

    def known_to(self, bundle: Bundle, run: Path) -> dict[str, int] | None:
        """Count the X-rays that the bundle knows, or copies of them, by the part that they were in.

        None where the bundle does not say what it knows.
        """
        known = read_known(bundle.folder)
        decoded = [entry for entry, one in zip(self.entries, self.served, strict=True) if one.width]
        if known is None:
            return None
        return known.count(known.find([entry.sha256 for entry in decoded], coarse_of(run, decoded)))

    def known_with(self, known: KnownXrays | None, run: Path) -> KnownXrays:
        """Add those answered to what a bundle knows: calibration and thresholds are fitted to them."""
        kept = [self.entries[i] for i in np.flatnonzero(self.answered).tolist()]
        return with_fitted(known, [entry.sha256 for entry in kept], coarse_of(run, kept))

    def found_of_all_sent(self, low: float, probabilities: np.ndarray) -> dict[str, Any]:
        """Measure the sensitivity at a threshold where a refused X-ray counts as missed."""
        found = np.zeros(len(self.entries), bool)
        found[self.answered] = probabilities >= low
        everything = Sample(self.entries, self.groups, found)
        return everything.share(found, everything.labels)


def read_site(folders: Sequence[Path], bundle: Path, run: Path) -> Site:
    """Ask the bundle about all X-rays of the folders; StepRefused where too few are answered to measure."""
    run.mkdir(parents=True, exist_ok=True)
    folders = [folder.resolve() for folder in folders]
    found = [(folder, one) for folder in folders for one in find_xrays(folder)]
    served = serve([one.path for _, one in found], bundle, run)
    left_out = Counter(answer.refused for answer in served if not answer.sha256)
    there = [(*one, answer) for one, answer in zip(found, served, strict=True) if answer.sha256]
    entries = [_entry(folder, one, run, answer) for folder, one, answer in there]
    pairs = _copies(run, entries, [answer for _, _, answer in there])
    groups = join_groups(entries, pairs)
    torn = {k for i, j, _ in pairs if entries[i].fractured != entries[j].fractured for k in (i, j)}
    if torn:
        left_out[_CONFLICT] = len(torn)
    kept = [i for i in range(len(entries)) if i not in torn]
    site = Site(
        [folder.name for folder in folders],
        [entries[i] for i in kept],
        [there[i][2] for i in kept],
        np.array([groups[i] for i in kept]),
        sum(bool(there[i][1].group) for i in kept),
        dict(left_out),
    )
    answered = [entry.fractured for entry, yes in zip(site.entries, site.answered, strict=True) if yes]
    fractured, refused = sum(answered), sum(bool(one.refused) for one in site.served)
    if min(fractured, len(answered) - fractured) < FEWEST:
        raise StepRefused(
            f"{len(answered)} X-rays were answered, {fractured} of them fractured: a measurement takes "
            f"{FEWEST} fractured and {FEWEST} intact ones. Refused: {refused}; "
            f"left out: {sum(left_out.values())}"
        )
    return site


def _entry(folder: Path, one: Found, run: Path, answer: Served) -> ManifestRow:
    """Describe an X-ray; where its folder says no region or view, its DICOM header does."""
    if one.region == "unknown" and answer.body_part:
        one = replace(one, region=answer.body_part.lower())
    if not (one.frontal or one.lateral or one.oblique) and answer.view in _VIEWS:
        view = _VIEWS[answer.view]
        one = replace(one, frontal=view == "frontal", lateral=view == "lateral", oblique=view == "oblique")
    return describe(folder, one, run, answer.sha256, (answer.width, answer.height), one.licence)


def _copies(
    run: Path, entries: Sequence[ManifestRow], served: Sequence[Served]
) -> list[tuple[int, int, float]]:
    """List the pairs that are one picture, among those that decode."""
    decoded = [i for i, answer in enumerate(served) if answer.width]
    if not decoded:
        return []
    with Fingerprints(run) as fingerprints:
        pairs = find_near_duplicates([fingerprints[entries[i].sha256] for i in decoded])
    return [(decoded[i], decoded[j], apart) for i, j, apart in pairs]
