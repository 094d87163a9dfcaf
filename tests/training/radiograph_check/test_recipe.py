"""The recipe of the check for X-rays: which pictures are fitted on, where the limits lie, what is kept."""

import io
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.engines import Outputs
from tests.training.collections_of_xrays import a_collection
from training.data.other_pictures import read_some
from training.data.split import TRAIN, VALIDATION
from training.radiograph_check.fit import Seen, fit, fit_and_measure
from training.radiograph_check.pictures import Amounts, Gathered, gather
from training.radiograph_check.stored_features import StoredFeatures
from training.run.errors import StepRefused

SIZE = 64
AMOUNTS = Amounts(xrays=12, other_xrays=6, drawings=4, photographs=20, pages=4, reduced=5)


def an_archive(path: Path, counts: dict[str, int]) -> Path:
    """A zip of so many pictures of noise of each kind; each kind has a gray of its own."""
    random = np.random.default_rng(1)
    with zipfile.ZipFile(path, "w") as archive:
        for place, (kind, count) in enumerate(counts.items()):
            for number in range(count):
                stored, gray = io.BytesIO(), 20 * (1 + place % 10)
                pixels = random.integers(0, gray, (64, 64), np.uint8)
                Image.fromarray(pixels).save(stored, "WEBP", lossless=True)
                archive.writestr(f"{kind}_{number:03}.webp", stored.getvalue())
    return path


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two archives that share half of their kinds, one kind ten times as frequent as the others."""
    folder = tmp_path_factory.mktemp("archives")
    names = [f"kind{i}" for i in range(15)]
    return [
        an_archive(folder / "one.zip", dict.fromkeys(names[:10], 4) | {"kind0": 40}),
        an_archive(folder / "two.zip", dict.fromkeys(names[5:], 4)),
    ]


def source_of(name: str) -> str:
    return f"source {zlib.crc32(name.encode()) % 2}"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Path, str, str]]]:
    folder = a_collection(tmp_path_factory.mktemp("parts") / "wrists", 30)
    files = sorted((folder / "images").iterdir())
    paths = [(path, path.name, source_of(path.name)) for path in files]
    return {TRAIN: paths[:20], VALIDATION: paths[20:]}


@pytest.fixture(scope="module")
def gathered(parts: dict[str, list[tuple[Path, str, str]]], archives: list[Path]) -> Gathered:
    return gather(SIZE, parts, archives, archives[:1], AMOUNTS)


def test_as_many_pictures_are_read_as_asked_for(gathered: Gathered):
    assert len(gathered.xrays.squares) == 12 + 4 + 3
    measured = {name: len(pictures.squares) for name, pictures in gathered.measured.items()}
    photographs = measured.pop("photographs")
    assert len(gathered.others.squares) + photographs == 2 * 20 + 2
    assert measured == {"xrays": 10, "reduced_xrays": 5, "pages": 2, "other_xrays": 3}
    held = gathered.measured["xrays"]
    assert list(held.sources) == [source_of(group) for group in held.groups]
    for pictures in (gathered.xrays, gathered.others, *gathered.measured.values()):
        assert pictures.squares.shape[1:] == (SIZE, SIZE)
        assert len(pictures.squares) == len(pictures.groups) == len(pictures.reduced)


def test_no_group_is_both_fitted_on_and_measured_in_any_archive(gathered: Gathered):
    fitted = {*gathered.xrays.groups, *gathered.others.groups}
    for name, pictures in gathered.measured.items():
        assert not fitted & set(pictures.groups), name
    assert len(set(gathered.measured["photographs"].groups)) >= 2, "of each archive at least one"


def test_xrays_fitted_on_are_partly_reduced_and_those_measured_are_by_row(gathered: Gathered):
    assert 0 < gathered.xrays.reduced.sum() < len(gathered.xrays.reduced)
    of = {name: set(pictures.reduced) for name, pictures in gathered.measured.items()}
    assert of == {name: {name == "reduced_xrays"} for name in of}
    assert not gathered.others.reduced.any()


def test_the_same_arguments_give_the_same_pixels(
    gathered: Gathered, parts: dict[str, list[tuple[Path, str, str]]], archives: list[Path]
):
    again = gather(SIZE, parts, archives, archives[:1], AMOUNTS)
    assert (again.xrays.squares == gathered.xrays.squares).all()
    assert (again.others.squares == gathered.others.squares).all()


def test_an_archive_is_read_evenly_over_its_kinds(tmp_path: Path):
    archive = an_archive(tmp_path / "flowers.zip", {"rose": 30, "tulip": 4, "lily": 2, "lily-head": 1})
    pictures, kinds = read_some(archive, 10)
    assert len(pictures) == 10
    assert Counter(kinds.tolist()) == {"rose": 4, "tulip": 3, "lily": 3}
    with pytest.raises(StepRefused, match="is missing"):
        read_some(tmp_path / "none.zip", 10)


def seen(
    features: np.ndarray, groups: np.ndarray | None = None, reduced: int = 0, small_source: int = 0
) -> Seen:
    """Features as given, each its own group; the last of them were reduced, or are of a small source."""
    places = np.arange(len(features))
    own = places.astype(str)
    sources = np.where(places >= len(places) - small_source, "small", "large")
    return Seen(features, own if groups is None else groups, sources, places >= len(places) - reduced)


def below(limit: float, score: np.ndarray) -> float:
    return float((score < limit).mean())


def test_the_limits_lie_at_one_in_a_thousand_and_one_in_a_hundred_xrays():
    random = np.random.default_rng(0)
    check = fit(seen(random.normal(1, 1, (3000, 3))), seen(random.normal(-1, 1, (500, 3))))
    score = random.normal(1, 1, (100_000, 3)) @ np.array(check.coefficients) + check.intercept
    assert below(check.refused, score) == pytest.approx(0.001, abs=0.0007)
    assert below(check.doubtful, score) == pytest.approx(0.01, abs=0.004)


def test_xrays_of_a_small_source_are_refused_no_more_often():
    random = np.random.default_rng(0)
    large, small = random.normal(3, 1, (2000, 3)), random.normal(0.5, 0.3, (20, 3))
    others = seen(random.normal(-1, 1, (500, 3)))
    as_one = fit(seen(np.vstack([large, small])), others)
    apart = fit(seen(np.vstack([large, small]), small_source=20), others)
    assert (apart.coefficients, apart.doubtful) == (as_one.coefficients, as_one.doubtful)
    score = random.normal(0.5, 0.3, (2000, 3)) @ np.array(apart.coefficients) + apart.intercept
    assert below(apart.refused, score) < 0.1 < below(as_one.refused, score)


def test_reduced_xrays_are_fitted_on_and_set_no_limit():
    random = np.random.default_rng(0)
    usual, small = random.normal(3, 1, (400, 3)), random.normal(-1, 1, (40, 3))
    others = seen(random.normal(-3, 1, (400, 3)))
    marked = fit(seen(np.vstack([usual, small]), reduced=40), others)
    unmarked = fit(seen(np.vstack([usual, small])), others)
    assert marked.coefficients == unmarked.coefficients
    score = small @ np.array(marked.coefficients) + marked.intercept
    assert below(marked.doubtful, score) > 0.9
    assert below(unmarked.doubtful, score) < 0.5


def test_a_limit_is_that_of_xrays_of_groups_that_were_not_fitted_on():
    """Each group has a mark of its own, by which a fit knows it again."""
    random = np.random.default_rng(0)
    marks = np.repeat(random.normal(0, 1, (60, 400)), 5, axis=0)
    features = marks + random.normal(0, 0.1, marks.shape)
    names = np.array([str(number // 5) for number in range(150)])
    apart = fit(seen(features[:150], names), seen(features[150:], np.char.add("other ", names)))
    torn = fit(seen(features[:150]), seen(features[150:]))
    assert apart.coefficients == torn.coefficients
    assert apart.refused < 0 < torn.refused


class _Counting:
    """An engine whose features are the mean of each input; it stops after so many."""

    name = "counting"

    def __init__(self, stops_after: int | None = None) -> None:
        self.ran, self._stops_after = 0, stops_after

    def run(self, inputs: np.ndarray) -> Outputs:
        if self._stops_after is not None and self.ran >= self._stops_after:
            raise KeyboardInterrupt
        self.ran += len(inputs)
        mean = inputs.mean(axis=(1, 2))
        return mean, mean, mean


def test_a_command_that_was_cut_off_computes_only_what_is_missing(tmp_path: Path):
    squares = np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8)
    first, second, third = _Counting(stops_after=16), _Counting(), _Counting()
    with pytest.raises(KeyboardInterrupt):
        StoredFeatures(first, tmp_path).of("cut off", squares)
    made = StoredFeatures(second, tmp_path).of("again", squares)
    assert (first.ran, second.ran) == (16, 14)
    assert made == pytest.approx(squares.mean(axis=(1, 2))[:, None] / 127.5 - 1, abs=1e-5)
    changed = squares.copy()
    changed[0, 0, 0] ^= 255
    assert StoredFeatures(third, tmp_path).of("others", changed)[0] != made[0]
    assert third.ran == 8, "pixels name what is kept, and no other pictures take it"


def test_each_source_of_the_validation_part_is_measured_by_itself(
    parts: dict[str, list[tuple[Path, str, str]]], archives: list[Path], tmp_path: Path
):
    network = StoredFeatures(_Counting(), tmp_path)
    _, measured = fit_and_measure(network, SIZE, parts, archives, archives[:1], AMOUNTS)
    counts = {name: row["refused"]["n"] for name, row in measured.items() if name.startswith("xrays")}
    sources = Counter(source for *_, source in parts[VALIDATION])
    assert len(sources) == 2
    assert counts == {"xrays": 10} | {f"xrays of {source}": count for source, count in sources.items()}
