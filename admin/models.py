"""Rolls models out and back: `python -m admin.models publish|list|shadow|report|canary|promote|...`."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from admin.command import print_lines, settings_of_command
from jobs.models.bundles import DIGEST, BundleDamaged, Bundles, NoSuchBundle
from jobs.models.gate import Limits, comparable, compare, groups, readers_findings, reasons
from jobs.models.removal import remove_bundle
from jobs.models.roll_out import RollOut, RollOuts
from jobs.models.shadow_scores import ShadowScore, ShadowScores
from jobs.reading.readings import Readings
from jobs.record.errors import TransientError
from jobs.settings import Settings, SettingsError
from jobs.store.audit import AuditEntry
from jobs.store.stores import Stores
from model.bundle import read_bundle
from model.errors import BundleRefused

Line = Mapping[str, Any]


class PromotionRefused(Exception):
    """The gate is closed. Each argument is a reason."""


def main() -> int:
    """Run the command.

    Return 1 for a closed gate, an unknown bundle and one in use, 2 for a wrong setting or value.
    """
    arguments = _parser().parse_args()
    try:
        settings = settings_of_command()
        with closing(Stores.connect(settings)) as stores:
            stores.check()
            # All changes are made before the first is printed.
            print_lines(list(_lines(arguments, settings, stores)))
    except PromotionRefused as refused:
        print(*refused.args, sep="\n", file=sys.stderr)
        return 1
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 1
    except (SettingsError, BundleRefused, BundleDamaged, ValueError, OSError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m admin.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    publish = commands.add_parser("publish", help="store a bundle, so that workers can load it")
    publish.add_argument("folder", type=Path)
    commands.add_parser("list", help="list the published bundles, their parts, and what is not loaded")
    for name, help_ in (
        ("canary", "give a share of new jobs to a bundle, 50 percent at most; 0 ends it"),
        ("shadow", "have a bundle score a share of ended jobs; 0 ends it"),
    ):
        part = commands.add_parser(name, help=help_)
        part.add_argument("bundle", help="its digest, or the beginning of it")
        part.add_argument("--percent", type=float, required=True)
    report = commands.add_parser("report", help="compare what a bundle scored as shadow with what was served")
    report.add_argument("bundle")
    promote = commands.add_parser("promote", help="make a bundle the active one, if its scores allow it")
    promote.add_argument("bundle")
    commands.add_parser(
        "roll-back", help="end the canary; where there is none, return to what was active before"
    )
    remove = commands.add_parser("remove", help="remove a bundle that has no part, and its scores")
    remove.add_argument("bundle")
    return parser


def _lines(arguments: argparse.Namespace, settings: Settings, stores: Stores) -> Iterator[Line]:
    bundles, roll_outs = Bundles(stores.objects), RollOuts(stores.records)
    if arguments.command == "publish":
        described = read_bundle(arguments.folder).description
        digest = bundles.publish(arguments.folder)
        _record(stores, "publishModel", digest)
        yield {"bundle": digest, "name": described.name, "version": described.version}
    elif arguments.command == "list":
        yield from _listed(bundles, roll_outs.read())
        yield from map(asdict, stores.ledger.view.model_loads.refusals())
    elif arguments.command == "roll-back":
        before, changed = roll_outs.read(), roll_outs.change(RollOut.rolled_back)
        if changed != before:
            _record(stores, "rollBackModel", changed.active)
        yield _shown(changed)
    elif arguments.command == "remove":
        yield _remove(arguments.bundle, roll_outs, stores)
    else:
        digest = bundles.find(arguments.bundle)
        if arguments.command == "report":
            yield from _report(digest, roll_outs.read(), settings, stores)
        elif arguments.command == "promote":
            changed = _promote(digest, roll_outs, settings, stores)
            yield _shown(changed)
        else:
            change = RollOut.with_canary if arguments.command == "canary" else RollOut.with_shadow
            changed = roll_outs.change(
                _of_published(digest, bundles, lambda present: change(present, digest, arguments.percent))
            )
            act = "set" if arguments.percent else "end"
            _record(stores, f"{act}{arguments.command.capitalize()}Model", digest)
            yield _shown(changed)


def _promote(digest: str, roll_outs: RollOuts, settings: Settings, stores: Stores) -> RollOut:
    present = roll_outs.read()
    while True:
        # Outside the change: many scores take longer to read than a writer may hold the lock.
        if why := list(reasons(*_scored(digest, present, stores), _limits(settings))):
            raise PromotionRefused(f"{digest[:16]} does not become active", *why)
        promoted = partial(_promoted, digest=digest, judged=present.active)
        present = roll_outs.change(_of_published(digest, Bundles(stores.objects), promoted))
        if present.active == digest:
            _record(stores, "promoteModel", digest)
            return present


def _promoted(present: RollOut, digest: str, judged: str | None) -> RollOut:
    """Return it with this bundle active, or as it is where another operator changed the active one."""
    return present.promoted(digest) if present.active == judged else present


def _of_published(
    digest: str, bundles: Bundles, change: Callable[[RollOut], RollOut]
) -> Callable[[RollOut], RollOut]:
    """Make the change raise NoSuchBundle where another operator has removed the bundle meanwhile."""

    def changed(present: RollOut) -> RollOut:
        bundles.manifest(digest)
        return change(present)

    return changed


def _remove(named: str, roll_outs: RollOuts, stores: Stores) -> Line:
    bundles = Bundles(stores.objects)
    # A whole digest also names what is left of a bundle without its manifest.
    digest = named if DIGEST.fullmatch(named) else bundles.find(named)
    files, scores = remove_bundle(digest, bundles, roll_outs, ShadowScores(stores.ledger))
    if not files and not scores:
        raise NoSuchBundle(f"no bundle {digest} is published")
    _record(stores, "removeModel", digest)
    return {"bundle": digest, "files": files, "scores": scores}


def _report(digest: str, present: RollOut, settings: Settings, stores: Stores) -> Iterator[Line]:
    scores, read = _scored(digest, present, stores)
    for name, group in {"all jobs": scores, **groups(scores)}.items():
        found = compare(group, read)
        yield {"group": name, **asdict(found), "disagreement": round(found.disagreement, 4)}
    yield {"promotion": list(reasons(scores, read, _limits(settings))) or "allowed"}


def _scored(digest: str, present: RollOut, stores: Stores) -> tuple[list[ShadowScore], dict[str, str]]:
    scores = comparable(ShadowScores(stores.ledger).of(digest), digest, present.active)
    return scores, readers_findings(Readings(stores.ledger), (score.job for score in scores))


def _limits(settings: Settings) -> Limits:
    return Limits(settings.shadow_jobs, settings.shadow_disagreement)


def _listed(bundles: Bundles, present: RollOut) -> Iterable[Line]:
    parts = {"active": present.active, "canary": present.canary, "shadow": present.shadow}
    for digest in bundles.digests():
        manifest = bundles.manifest(digest)
        yield {
            "bundle": digest,
            "name": manifest["name"],
            "version": manifest["version"],
            "parts": [part for part, named in parts.items() if named == digest],
        }
    yield _shown(present)


def _shown(roll_out: RollOut) -> Line:
    shown = asdict(roll_out)
    del shown["later"]
    return shown


def _record(stores: Stores, action: str, digest: str | None) -> None:
    stores.audit.record_durably(AuditEntry("", action, subject=digest))


if __name__ == "__main__":
    sys.exit(main())
