"""Keeps bundles in the object store, each under its digest, written once and never changed.

    models/bundles/<digest>/<file>   the files of one bundle; its manifest is written last

The digest is the SHA-256 of the manifest, which has the checksum of every other file.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.record.errors import NotStored
from jobs.store.objects import Objects

MANIFEST = "bundle.json"
_PREFIX = "models/bundles/"
DIGEST = re.compile(r"[0-9a-f]{64}")
LEFTOVER = re.compile(r"\.[0-9a-f]{16}-.+")
"""The name of a folder whose fetch has not ended."""
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""A name that leads out of no folder."""


class NoSuchBundle(LookupError):
    """No bundle has this digest, or this beginning of one."""


class BundleDamaged(ValueError):
    """A bundle differs from its digest or its checksums. The message names the file."""


class Bundles:
    """The published bundles. Every method may raise StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def publish(self, folder: Path) -> str:
        """Store the bundle in this folder, unless it is stored already, and return its digest.

        Raises OSError for a file that is missing, and BundleDamaged.
        """
        manifest = (folder / MANIFEST).read_bytes()
        digest = hashlib.sha256(manifest).hexdigest()
        for name, checksum in _files(manifest).items():
            body = (folder / name).read_bytes()
            if hashlib.sha256(body).hexdigest() != checksum:
                raise BundleDamaged(f"{folder / name} does not match its checksum")
            self._put(_key(digest, name), body)
        self._put(_key(digest, MANIFEST), manifest)
        return digest

    def digests(self) -> Iterator[str]:
        """Return the digests of all published bundles."""
        for key in self._objects.keys(_PREFIX):
            digest, _, name = key.removeprefix(_PREFIX).partition("/")
            if name == MANIFEST:
                yield digest

    def find(self, beginning: str) -> str:
        """Return the digest that begins so. Raises NoSuchBundle where none does, or several do."""
        found = [digest for digest in self.digests() if digest.startswith(beginning)]
        if len(found) != 1 or not beginning:
            raise NoSuchBundle(f"{len(found)} published bundles begin with {beginning!r}")
        return found[0]

    def withdraw(self, digest: str) -> bytes | None:
        """Remove the manifest of a bundle, so that no worker can load it, and return it if there was one."""
        _refuse_unless_digest(digest)
        try:
            manifest = self._objects.get(_key(digest, MANIFEST))
        except NotStored:
            return None
        self._objects.delete(_key(digest, MANIFEST))
        return manifest

    def restore(self, digest: str, manifest: bytes | None) -> None:
        """Store the manifest again that `withdraw` has returned."""
        if manifest is not None:
            self._objects.put(_key(digest, MANIFEST), manifest)

    def remove_files(self, digest: str) -> int:
        """Remove all files of a bundle that was withdrawn, or whose upload broke off. Return their number."""
        _refuse_unless_digest(digest)
        keys = list(self._objects.keys(_key(digest, "")))
        for key in keys:
            self._objects.delete(key)
        return len(keys)

    def manifest(self, digest: str) -> dict[str, Any]:
        """Return what the manifest of a bundle says. Raises NoSuchBundle."""
        values: dict[str, Any] = json.loads(self._manifest(digest))
        return values

    def fetch(self, digest: str, into: Path) -> Path:
        """Return the folder of the bundle below `into`, fetched unless it is there.

        Each file is verified as it is written, and the folder appears once it is whole. Raises NoSuchBundle
        and BundleDamaged.
        """
        _refuse_unless_digest(digest)
        folder = into / digest
        if folder.exists():
            return folder
        manifest = self._manifest(digest)
        into.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{digest[:16]}-", dir=into))
        try:
            for name, checksum in _files(manifest).items():
                self._fetch_file(_key(digest, name), new / name, checksum)
            (new / MANIFEST).write_bytes(manifest)
            try:
                os.rename(new, folder)
            except OSError:
                if not folder.exists():  # Another process of this machine was faster.
                    raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return folder

    def _fetch_file(self, key: str, path: Path, checksum: str) -> None:
        size, seen = self._objects.size(key), hashlib.sha256()
        if size is None:
            raise BundleDamaged(f"{key} is missing")
        with path.open("wb") as file:
            for piece in self._objects.pieces(key, size):
                seen.update(piece)
                file.write(piece)
        if seen.hexdigest() != checksum:
            raise BundleDamaged(f"{key} does not match its checksum")

    def _manifest(self, digest: str) -> bytes:
        _refuse_unless_digest(digest)
        try:
            manifest = self._objects.get(_key(digest, MANIFEST))
        except NotStored as error:
            raise NoSuchBundle(f"no bundle {digest} is published") from error
        if hashlib.sha256(manifest).hexdigest() != digest:
            raise BundleDamaged(f"{_key(digest, MANIFEST)} does not match its digest")
        return manifest

    def _put(self, key: str, body: bytes) -> None:
        # An upload that broke off may have left the beginning.
        if self._objects.size(key) != len(body):
            self._objects.put(key, body)


def _refuse_unless_digest(text: str) -> None:
    """Raise NoSuchBundle for what is no digest: it must reach no path."""
    if not DIGEST.fullmatch(text):
        raise NoSuchBundle(f"{text!r} is no digest")


def _files(manifest: bytes) -> Mapping[str, str]:
    """Return the checksum of each file that a manifest names. Raises BundleDamaged."""
    try:
        files: dict[str, str] = json.loads(manifest)["files"]
        if all(_FILE.fullmatch(name) and DIGEST.fullmatch(checksum) for name, checksum in files.items()):
            return files
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleDamaged(f"this is no {MANIFEST}: {error}") from error
    raise BundleDamaged(f"{MANIFEST} names a file or a checksum that is none")


def _key(digest: str, name: str) -> str:
    return f"{_PREFIX}{digest}/{name}"
