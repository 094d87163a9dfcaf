"""Loads bundles for a worker: its own one, and those that are published in the object store."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from jobs.models.bundles import DIGEST, LEFTOVER, Bundles
from jobs.record.errors import TransientError
from jobs.settings import Settings
from model.classifier import Classifier
from model.errors import BundleRefused
from worker.inference.memory import give_back
from worker.inference.watchdog import Watchdog
from worker.rollout.trial import LoadBroken, LoadStopped

log = logging.getLogger(__name__)

_FETCH = 3600.0
"""Seconds since its last file after which a fetch has been killed: another process may be fetching."""


class Loads(Protocol):
    """What loads a bundle by its digest: a Loader."""

    def load(self, digest: str) -> Classifier:
        """Return the bundle, loaded. Raises an error of any kind."""

    def keep_only(self, digests: Iterable[str | None]) -> None:
        """Remove the files of other bundles."""


class Loader:
    """Loads bundles into the engine of this machine, each from a folder of this machine's workers."""

    def __init__(
        self, bundles: Bundles, settings: Settings, try_: Callable[[Path], None], watchdog: Watchdog
    ) -> None:
        """Make a temporary folder for fetched bundles, unless the settings name one.

        `try_` loads the bundle in a folder elsewhere first, as worker.rollout.trial.Trial does. The watchdog
        ends this process if the load here hangs all the same.
        """
        self._watchdog = watchdog
        self._bundles = bundles
        self._try = try_
        self._tried: set[str] = set()
        self._settings = settings
        self._temporary = (
            None if settings.bundle_cache else tempfile.TemporaryDirectory(prefix="osteo-bundles-")
        )
        self._own: dict[str, Path] = {}
        self._folder = settings.bundle_cache or Path(self._temporary.name if self._temporary else "")

    def load_own(self, folder: Path) -> Classifier:
        """Load the bundle of OSTEO_BUNDLE, which lies in this folder. Raises BundleRefused and NoEngine."""
        own = self._load(folder)
        self._own = {own.digest: folder}
        return own

    def load(self, digest: str) -> Classifier:
        """Load the bundle with this digest: the own one, or a published one, which is verified file by file.

        A published one is tried once before. Raises NoSuchBundle, BundleDamaged, StoreUnavailable,
        BundleRefused, NoEngine, what the trial raises, and any error of an engine.
        """
        if own_folder := self._own.get(digest):
            own = self._load(own_folder)
            if own.digest != digest:
                raise BundleRefused(
                    f"{own_folder} holds another bundle now: restart the worker, or publish and activate it"
                )
            return own
        folder = self._bundles.fetch(digest, self._folder)
        try:
            if digest not in self._tried:
                self._try(folder)
                self._tried.add(digest)
            with self._watchdog.at_work(f"load of {digest}", self._settings.model_load_seconds):
                classifier = self._load(folder)
            if classifier.digest != digest:
                raise BundleRefused(f"{folder} does not match its digest")
        except BundleRefused:
            # What lies here was altered, or can never run: the next attempt fetches it again.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return classifier

    def keep_only(self, digests: Iterable[str | None]) -> None:
        """Remove fetched bundles but these, and what a killed process has left of a fetch.

        All else in the folder stays: the settings may name one that others use.
        """
        with suppress(OSError):
            for folder in self._folder.iterdir():
                broke_off = LEFTOVER.fullmatch(folder.name) and folder.stat().st_mtime < time.time() - _FETCH
                if broke_off or (DIGEST.fullmatch(folder.name) and folder.name not in set(digests)):
                    shutil.rmtree(folder, ignore_errors=True)

    def _load(self, folder: Path) -> Classifier:
        settings = self._settings
        log.info("loading the model from %s", folder)
        classifier = Classifier.load(folder, settings.engine, log.info, settings.engine_cache)
        give_back()
        log.info("model %s %s is ready in %s", classifier.name, classifier.version, classifier.engine)
        if not classifier.rests_on_enough:
            log.warning(
                "calibration and thresholds of model %s %s rest on too few X-rays, or on an unknown number: "
                "its model card says more",
                *(classifier.name, classifier.version),
            )
        return classifier


def why(error: Exception) -> str:
    """Return what an error of `load` says, on one line, with its kind where that says more."""
    said = BundleRefused | LookupError | ValueError | TransientError | LoadBroken | LoadStopped
    return str(error) if isinstance(error, said) else f"{type(error).__name__}: {error}"
