"""Second step: `python -m training.prepare --run RUN` divides the manifest, and proves that nothing leaks.

Writes split.csv, prepare.json (the leakage report) and a contact sheet of each part. With --audit it judges
another division instead, writes audit.json, and exits with 1 if that leaks.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from model.decode.image import decode
from training.data.contact_sheet import draw_contact_sheet
from training.data.fingerprints import Fingerprints
from training.data.manifest import ManifestRow, read_manifest
from training.data.near_duplicates import NEAR, find_near_duplicates
from training.data.split import (
    FOLDS,
    PART_FOLDERS,
    TEST,
    Pairs,
    find_leaks,
    join_groups,
    split_by_group,
    write_split,
)
from training.run.atomic_file import write_json
from training.run.errors import StepRefused, exit_with_message

REPORT, AUDIT = "prepare.json", "audit.json"


def prepare(run: Path, seed: int) -> dict[str, Any]:
    """Divide the run's manifest; write and return the report."""
    entries = read_manifest(run)
    pairs = _find_copies(run, entries)
    groups = join_groups(entries, pairs)
    parts = split_by_group(entries, groups, seed)
    report = {
        "seed": seed,
        "near_duplicate_distance": NEAR,
        "near_duplicate_pairs": len(pairs),
        "pairs_that_the_source_had_in_two_groups": sum(
            entries[i].group != entries[j].group for i, j, _ in pairs
        ),
        "groups": len(set(groups)),
        "groups_in_two_parts": groups_in_two_parts(groups, parts),
        "parts": {
            part: _describe([e for e, p in zip(entries, parts, strict=True) if p == part]) for part in FOLDS
        },
        **_report_leaks(entries, parts, pairs),
    }
    for part in FOLDS:
        inside = [entry for entry, its in zip(entries, parts, strict=True) if its == part]
        draw_contact_sheet(run, inside, seed).save(run / f"sheet-{part}.png")
    write_json(run / REPORT, report)
    write_split(run, entries, groups, parts)
    return report


def _find_copies(run: Path, entries: Sequence[ManifestRow]) -> Pairs:
    """Find the copies among the manifest's images; fingerprints that `collect` took are not taken again."""
    with Fingerprints(run) as fingerprints:
        for entry in tqdm(entries, "fingerprints", unit="image"):
            if entry.sha256 not in fingerprints:
                fingerprints.take(entry.sha256, decode((run / entry.image).read_bytes()).pixels)
        return find_near_duplicates([fingerprints[entry.sha256] for entry in entries])


def groups_in_two_parts(groups: Sequence[str], parts: Sequence[str]) -> int:
    """Count the groups that a division tears apart; what is not in the division has no side."""
    sides = {(group, part) for group, part in zip(groups, parts, strict=True) if part}
    return sum(count > 1 for count in Counter(group for group, _ in sides).values())


def _report_leaks(entries: Sequence[ManifestRow], parts: Sequence[str], pairs: Pairs) -> dict[str, Any]:
    """List the copies that stand in two parts; an image outside of the division has no part."""
    leaks = [(i, j, apart) for i, j, apart in find_leaks(parts, pairs) if parts[i] and parts[j]]
    tested = {k for i, j, _ in leaks for k in (i, j) if parts[k] == TEST}
    return {
        "leaks": len(leaks),
        "test_images_with_a_copy_elsewhere": len(tested),
        "leaking_pairs": [
            {
                "images": [entries[i].image, entries[j].image],
                "parts": [parts[i], parts[j]],
                "distance": round(apart, 3),
            }
            for i, j, apart in leaks
        ],
    }


def audit(run: Path, division: str) -> dict[str, Any]:
    """Judge a division of the manifest's images: a CSV of image and part, or `folders` for folders' names."""
    entries = read_manifest(run)
    parts = _parts_by_folder(entries) if division == "folders" else _parts_by_table(entries, Path(division))
    if not any(parts):
        raise StepRefused(
            f"none of the manifest's images is in {division}; it needs the columns image and part"
        )
    pairs = _find_copies(run, entries)
    report = {
        "division": division,
        "parts": dict(Counter(part or "not divided" for part in parts)),
        "groups_in_two_parts": groups_in_two_parts(join_groups(entries, pairs), parts),
        **_report_leaks(entries, parts, pairs),
    }
    write_json(run / AUDIT, report)
    return report


def _parts_by_table(entries: Sequence[ManifestRow], path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        part_of = {row["image"]: row["part"] for row in csv.DictReader(file)}
    return [part_of.get(entry.image) or part_of.get(Path(entry.image).name, "") for entry in entries]


def _parts_by_folder(entries: Sequence[ManifestRow]) -> list[str]:
    named = [
        [PART_FOLDERS[x] for x in map(str.lower, Path(e.image).parts[:-1]) if x in PART_FOLDERS]
        for e in entries
    ]
    return [found[-1] if found else "" for found in named]


def _describe(entries: Sequence[ManifestRow]) -> dict[str, Any]:
    return {
        "images": len(entries),
        "fractured": sum(entry.fractured for entry in entries),
        "by_region": dict(Counter(entry.region for entry in entries).most_common()),
        "by_size": dict(Counter(entry.size for entry in entries).most_common()),
        "by_source": dict(Counter(entry.source for entry in entries).most_common()),
    }


def main() -> None:
    """Run `python -m training.prepare`."""
    parser = argparse.ArgumentParser(description="Divide a manifest by group, and show that nothing leaks.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument(
        "--audit", metavar="DIVISION", help="judge a CSV of image and part, or `folders`, instead"
    )
    options = parser.parse_args()
    with exit_with_message("prepare"):
        report = audit(options.run, options.audit) if options.audit else prepare(options.run, options.seed)
    for part, described in report["parts"].items():
        print(f"{part}: {described if options.audit else described['images']}", file=sys.stderr)
    if report["leaks"] or report["groups_in_two_parts"]:
        print(
            f"THIS DIVISION LEAKS: {report['leaks']} pairs of copies stand on two sides, "
            f"{report['test_images_with_a_copy_elsewhere']} images of the test part among them; "
            f"{report['groups_in_two_parts']} groups are torn apart",
            file=sys.stderr,
        )
        raise SystemExit(1)
    print("no image has a copy in another part, and no group is torn apart", file=sys.stderr)


if __name__ == "__main__":
    main()
