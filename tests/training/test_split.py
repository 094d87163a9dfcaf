import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.xrays import FRACATLAS, needs_xrays
from training.examples import Rows, read_labels
from training.split import SHARES, split_by_group, write_split


def collection() -> Rows:
    """Groups of one to nine images, a sixth of them fractured."""
    random = np.random.default_rng(0)
    sizes = random.choice([1, 1, 1, 2, 4, 9], 300)
    return [
        {"image": f"{group}-{i}.jpg", "group": f"g{group}", "fractured": str(int(group % 6 == 0))}
        for group, size in enumerate(sizes)
        for i in range(size)
    ]


def assert_honest(rows: Rows, parts: dict[str, str], tolerance: float) -> None:
    assert set(parts) == {row["image"] for row in rows}
    parts_of_group = defaultdict(set)
    fractured = defaultdict(Counter)
    for row in rows:
        parts_of_group[row["group"]].add(parts[row["image"]])
        fractured[parts[row["image"]]][row["fractured"]] += 1
    assert max(len(parts) for parts in parts_of_group.values()) == 1, "a group stands on both sides"
    prevalence = sum(row["fractured"] == "1" for row in rows) / len(rows)
    for part, share in SHARES.items():
        assert fractured[part].total() / len(rows) == pytest.approx(share, abs=tolerance)
        assert fractured[part]["1"] / fractured[part].total() == pytest.approx(prevalence, abs=tolerance)


def test_groups_stay_whole_and_parts_keep_their_share_and_prevalence():
    rows = collection()
    assert_honest(rows, split_by_group(rows, 1), 0.02)


def test_a_seed_decides_and_the_order_of_the_rows_does_not():
    rows = collection()
    assert split_by_group(rows, 1) == split_by_group(rows[::-1], 1)
    assert split_by_group(rows, 1) != split_by_group(rows, 2)


def test_the_split_is_written_one_row_an_image(tmp_path: Path):
    rows = collection()
    parts = split_by_group(rows, 1)
    write_split(tmp_path / "split.csv", rows, parts)
    with (tmp_path / "split.csv").open(newline="") as file:
        assert {row["image"]: row["part"] for row in csv.DictReader(file)} == parts


@needs_xrays
def test_fracatlas_is_split_honestly():
    rows = read_labels(FRACATLAS)
    assert_honest(rows, split_by_group(rows, 20261123), 0.01)
