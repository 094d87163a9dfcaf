"""A published bundle is what was published, or is refused: in a real object store."""

import hashlib
import json
from pathlib import Path

import pytest

from jobs.models.bundles import BundleDamaged, Bundles, NoSuchBundle


def made(folder: Path, **files: bytes) -> Path:
    """A folder that is a bundle as far as the object store is concerned."""
    folder.mkdir()
    for name, body in files.items():
        (folder / name).write_bytes(body)
    checksums = {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    manifest = {"name": "made", "version": "1", "files": checksums}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def bundles(ledger) -> Bundles:
    return Bundles(ledger.objects)


def test_a_published_bundle_is_fetched_as_it_was(bundles, tmp_path: Path):
    folder = made(tmp_path / "bundle", weights=b"w" * 3_000_000, card=b"# card")
    digest = bundles.publish(folder)
    assert bundles.publish(folder) == digest
    assert list(bundles.digests()) == [digest]
    assert bundles.find(digest[:8]) == digest
    fetched = bundles.fetch(digest, tmp_path / "fetched")
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == [digest]


@pytest.mark.parametrize("name", ["weights", "bundle.json"])
def test_a_bundle_that_was_altered_in_the_store_is_refused(bundles, ledger, tmp_path: Path, name: str):
    digest = bundles.publish(made(tmp_path / "bundle", weights=b"right"))
    ledger.objects.put(f"models/bundles/{digest}/{name}", b"wrong")
    with pytest.raises(BundleDamaged, match="does not match"):
        bundles.fetch(digest, tmp_path / "fetched")
    assert not any((tmp_path / "fetched").glob("*")), "nothing of it is left"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", ".hidden", "a/b", ""])
def test_a_manifest_whose_files_lead_elsewhere_is_refused(bundles, ledger, tmp_path: Path, name: str):
    manifest = json.dumps({"files": {name: "0" * 64}}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    ledger.objects.put(f"models/bundles/{digest}/bundle.json", manifest)
    with pytest.raises(BundleDamaged, match="names a file"):
        bundles.fetch(digest, tmp_path / "fetched")


def test_a_folder_that_does_not_match_its_checksums_is_not_published(bundles, tmp_path: Path):
    folder = made(tmp_path / "bundle", weights=b"right")
    (folder / "weights").write_bytes(b"wrong")
    with pytest.raises(BundleDamaged):
        bundles.publish(folder)
    assert list(bundles.digests()) == []


@pytest.mark.parametrize("digest", ["0" * 64, "../model", ""])
def test_a_bundle_that_was_never_published_is_named(bundles, tmp_path: Path, digest: str):
    with pytest.raises(NoSuchBundle):
        bundles.fetch(digest, tmp_path)
    with pytest.raises(NoSuchBundle):
        bundles.find(digest)
