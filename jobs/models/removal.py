"""Removes a bundle from the object store, with what it scored as shadow, once it has no part."""

from jobs.models.bundles import Bundles
from jobs.models.roll_out import RollOut, RollOuts
from jobs.models.shadow_scores import ShadowScores


class BundleInUse(LookupError):
    """The bundle has a part in the roll-out, or a roll-back leads to it."""


def remove_bundle(
    digest: str, bundles: Bundles, roll_outs: RollOuts, scores: ShadowScores
) -> tuple[int, int]:
    """Remove a bundle, whole or in part, and return the numbers of its files and of its scores.

    Raises BundleInUse, and StoreUnavailable: to call it again then removes the rest.
    """
    _unused(roll_outs.read(), digest)
    # First of all: an operator who is about to give it a part finds that it is missing.
    manifest = bundles.withdraw(digest)
    try:
        # Under the lock of the record: another operator may have found it just before.
        roll_outs.change(lambda present: _unused(present, digest))
    except BundleInUse:
        bundles.restore(digest, manifest)
        raise
    found = scores.remove_of(digest)
    return bundles.remove_files(digest) + (manifest is not None), found


def _unused(present: RollOut, digest: str) -> RollOut:
    parts = {"active": present.active, "canary": present.canary, "shadow": present.shadow}
    if part := next((part for part, named in parts.items() if named == digest), None):
        raise BundleInUse(f"{digest[:16]} is {part}, and stays")
    if digest in present.before:
        raise BundleInUse(f"{digest[:16]} was active before, so that roll-backs lead to it, and stays")
    return present
