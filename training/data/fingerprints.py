"""Keeps the fingerprints of a run's images on disk, so that a killed step does not compute them twice."""

from pathlib import Path
from typing import Self

import numpy as np

from training.data.near_duplicates import Fingerprint, fingerprint
from training.run.atomic_file import whole_file

FILE = "fingerprints.npz"
_KEEP_EVERY = 1000


class Fingerprints:
    """Fingerprints by the sha256 of the image's bytes; saved on leaving the `with`, and now and then."""

    def __init__(self, run: Path) -> None:
        """Open those of the run's folder."""
        self._path = run / FILE
        self._held: dict[str, Fingerprint] = {}
        self._new = 0
        if self._path.exists():
            with np.load(self._path, allow_pickle=False) as stored:
                rows = zip(stored["sha256"], stored["coarse"], stored["fine"], strict=True)
                self._held = {str(sha256): Fingerprint(coarse, fine) for sha256, coarse, fine in rows}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Save what was computed."""
        if self._new:
            self._save()

    def __contains__(self, sha256: str) -> bool:
        """Whether an image's fingerprint has been computed."""
        return sha256 in self._held

    def __getitem__(self, sha256: str) -> Fingerprint:
        """Return one that has been computed."""
        return self._held[sha256]

    def take(self, sha256: str, pixels: np.ndarray) -> Fingerprint:
        """Return the fingerprint of uint8 (height, width), computed where it is not known yet."""
        if sha256 not in self._held:
            self._held[sha256] = fingerprint(pixels)
            self._new += 1
            if self._new % _KEEP_EVERY == 0:
                self._save()
        return self._held[sha256]

    def _save(self) -> None:
        with whole_file(self._path) as file:
            np.savez(
                file,
                sha256=np.array(list(self._held)),
                coarse=np.stack([one.coarse for one in self._held.values()]),
                fine=np.stack([one.fine for one in self._held.values()]),
            )
