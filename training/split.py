"""Divides a data set into training, validation and test by group, before anything is learned from it.

A group ties near-duplicates and images taken one after another, so it must not stand on both sides.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from training.examples import Rows

SHARES = {"train": 0.70, "validation": 0.15, "test": 0.15}


def split_by_group(rows: Rows, seed: int) -> dict[str, str]:
    """Map each image's name to its part, whole groups only; the same rows and seed give the same parts.

    Groups are dealt out largest first, equals in an order drawn from `seed`, each to the part that then
    lacks most of its share, where fractured and intact images count alike: that keeps the prevalence even.
    """
    sizes = {group: _count(rows, group) for group in {row["group"] for row in rows}}
    total = _count(rows)
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda group: -sum(sizes[group][label] / total[label] for label in total))
    held = {part: Counter[str]() for part in SHARES}
    part_of: dict[str, str] = {}
    for group in order:

        def lack(part: str, group: str = group) -> float:
            return (
                sum(
                    sizes[group][label] / total[label] * (SHARES[part] - held[part][label] / total[label])
                    for label in total
                )
                / SHARES[part]
            )

        part_of[group] = max(SHARES, key=lack)
        held[part_of[group]] += sizes[group]
    return {row["image"]: part_of[row["group"]] for row in rows}


def _count(rows: Rows, group: str | None = None) -> Counter[str]:
    return Counter(row["fractured"] for row in rows if group is None or row["group"] == group)


def write_split(path: Path, rows: Iterable[dict[str, str]], parts: dict[str, str]) -> None:
    """Write image, group and part, one row an image."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "group", "part"])
        writer.writerows([row["image"], row["group"], parts[row["image"]]] for row in rows)
