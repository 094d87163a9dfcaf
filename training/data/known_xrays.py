"""Recognises the X-rays that a bundle knows by content: by digests, and by sketches that copies share.

`training.evaluate` writes them into the bundle; `training.train`, `training.evaluate` and `training.external`
refuse or mark what overlaps. No X-ray can be restored from a sketch of 128 numbers.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.fingerprints import Fingerprints
from training.data.manifest import ManifestRow
from training.data.split import TEST, TRAIN, VALIDATION
from training.run.atomic_file import whole_file

FILE = "known_xrays.npz"
PARTS = (TRAIN, VALIDATION, TEST)
COPY = 0.99
"""Likeness from which two sketches are one picture. Of FracAtlas, X-rays that were made dim, noisy, askew and
JPEG again had 0.9945 and more (n = 95), the likest other X-ray 0.981 and less for 95 of 100 (n = 3,375)."""
_LENGTH = 128


@dataclass(frozen=True, eq=False)
class KnownXrays:
    """`sha256` uint8 (n, 32) of the files; `sketches` int8 (n, 128); `parts` uint8 (n,), places in PARTS.

    `centre` float32 (m,) is what was taken from each fingerprint before it was sketched.
    """

    sha256: np.ndarray
    sketches: np.ndarray
    parts: np.ndarray
    centre: np.ndarray

    def find(self, digests: Sequence[str], coarse: np.ndarray) -> np.ndarray:
        """Find the known X-ray, or -1, of each of n, int (n,): by `digests` in hex, `coarse` float32 (n, m).

        Found are the same file, and a copy that was scaled, flipped, brightened or compressed again; a crop
        is not.
        """
        place = {bytes(row): i for i, row in enumerate(self.sha256)}
        found = np.array([place.get(bytes.fromhex(digest), -1) for digest in digests])
        known = _unit(self.sketches.astype(np.float32))
        likeness = _unit(_project(coarse - self.centre)) @ known.T
        alike = np.where(likeness.max(axis=1) >= COPY, likeness.argmax(axis=1), -1)
        return np.where(found >= 0, found, alike)

    def count(self, found: np.ndarray) -> dict[str, int]:
        """Count what `find` found, by the part that it was in."""
        return {part: int((self.parts[found[found >= 0]] == i).sum()) for i, part in enumerate(PARTS)}

    def write(self, path: Path) -> None:
        """Write the four arrays; no pickle."""
        with whole_file(path) as file:
            np.savez_compressed(
                file, sha256=self.sha256, sketches=self.sketches, parts=self.parts, centre=self.centre
            )


def read_known(folder: Path, file: str = FILE) -> KnownXrays | None:
    """Read which X-rays a bundle's folder names as known; None where it names none."""
    path = folder / file
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return KnownXrays(**{name: stored[name] for name in stored.files})


def known_of(
    run: Path, entries: Sequence[ManifestRow], split: Mapping[str, tuple[str, str]], before: KnownXrays | None
) -> KnownXrays:
    """Gather what a run's network knows: its own division, and what it had learned from before it began."""
    coarse = coarse_of(run, entries)
    centre = coarse.mean(axis=0) if before is None else before.centre
    parts = [split[entry.image][1] for entry in entries]
    own = _sketched([entry.sha256 for entry in entries], coarse, parts, centre.astype(np.float32))
    if before is None:
        return own
    digests = {bytes(row) for row in own.sha256}
    # An ancestor has not learned from its test part.
    kept = (before.parts != PARTS.index(TEST)) & np.array(
        [bytes(row) not in digests for row in before.sha256]
    )
    return _joined(own, before, kept)


def with_fitted(known: KnownXrays | None, digests: Sequence[str], coarse: np.ndarray) -> KnownXrays:
    """Add X-rays that calibration and thresholds are fitted to, as of the validation part.

    `digests` in hex, `coarse` float32 (n, m). What the network has learned from stays in the training part.
    """
    own = {digest: i for i, digest in enumerate(digests)}
    if known is None:
        added, centre = list(own.values()), coarse.mean(axis=0).astype(np.float32)
        return _sketched(list(own), coarse[added], [VALIDATION] * len(own), centre)
    names = [bytes(row).hex() for row in known.sha256]
    kept = (known.parts != PARTS.index(TEST)) | np.array([name not in own for name in names], bool)
    for name in np.array(names)[kept].tolist():
        own.pop(name, None)
    added = list(own.values())
    return _joined(_sketched(list(own), coarse[added], [VALIDATION] * len(own), known.centre), known, kept)


def _sketched(
    digests: Sequence[str], coarse: np.ndarray, parts: Sequence[str], centre: np.ndarray
) -> KnownXrays:
    return KnownXrays(
        sha256=np.array([list(bytes.fromhex(digest)) for digest in digests], np.uint8).reshape(-1, 32),
        sketches=_to_int8(_project(coarse - centre)),
        parts=np.array([PARTS.index(part) for part in parts], np.uint8),
        centre=centre,
    )


def _joined(one: KnownXrays, other: KnownXrays, kept: np.ndarray) -> KnownXrays:
    """Join `one` with those of `other` that are kept, bool (n,)."""
    return KnownXrays(
        np.concatenate([one.sha256, other.sha256[kept]]),
        np.concatenate([one.sketches, other.sketches[kept]]),
        np.concatenate([one.parts, other.parts[kept]]),
        one.centre,
    )


def coarse_of(run: Path, entries: Sequence[ManifestRow]) -> np.ndarray:
    """Read the coarse fingerprints of a run's X-rays, float32 (n, m), which `training.prepare` took."""
    with Fingerprints(run) as fingerprints:
        return np.stack([fingerprints[entry.sha256].coarse for entry in entries])


def _project(coarse: np.ndarray) -> np.ndarray:
    """Project float32 (n, m) on fixed signs, the same on every machine: float32 (n, 128)."""
    bits = hashlib.shake_256(b"known X-rays").digest(coarse.shape[1] * _LENGTH // 8)
    signs = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.float32) * 2 - 1
    return coarse @ signs.reshape(coarse.shape[1], _LENGTH)


def _to_int8(sketches: np.ndarray) -> np.ndarray:
    largest = np.maximum(np.abs(sketches).max(axis=1, keepdims=True), 1e-9)
    return np.round(sketches / largest * 127).astype(np.int8)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
