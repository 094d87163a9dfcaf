from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from model.letterbox import Letterbox
from tests.training.collections_of_xrays import an_entry
from training.batches.augment import augment, cells, draw_fractures
from training.batches.draw import Batches
from training.batches.examples import Example
from training.network.loss import UNKNOWN, cells_loss
from training.run.config import Phase
from training.run.errors import StepRefused

WHOLE = Phase("ResNet50V2", 64, 9, 0, 1e-4, 1.0, 0.0)
WINDOWS, QUARTERS = replace(WHOLE, window=0.5), replace(WHOLE, window=0.25)
TONED = replace(WHOLE, tones=1.0)


def example(fractured: bool = True, image: str = "a", side: int = 128) -> Example:
    square = np.zeros((side, side), np.uint8)
    square[40:72, 60:92] = 250
    boxes = ((60.0, 40.0, 31.0, 31.0),) if fractured else ()
    return Example(an_entry(image, fractured), "g", square, boxes, ())


def test_the_box_moves_with_the_picture():
    random = np.random.default_rng(0)
    for _ in range(40):
        x, where = augment(example(), WHOLE, random)
        assert (x.shape, where.shape) == ((64, 64, 1), (4, 4, 1))
        assert -1 <= x.min() <= x.max() <= 1
        bright = x[..., 0].reshape(4, 16, 4, 16).max(axis=(1, 3)) > 0
        assert not (where[..., 0].astype(bool) & ~bright).any()
        assert where[..., 0].sum() > 0


def test_a_picture_is_flipped_left_to_right_and_never_upside_down():
    square = np.zeros((128, 128), np.uint8)
    square[:40, :40] = 250
    corner = Example(an_entry(), "g", square, (), ())
    random = np.random.default_rng(0)
    tops, lefts = [], []
    for _ in range(40):
        x, _ = augment(corner, WHOLE, random)
        rows, columns = np.nonzero(x[..., 0] > 0)
        tops.append(rows.mean() < 32)
        lefts.append(columns.mean() < 32)
    assert all(tops)
    assert 8 < sum(lefts) < 32


def test_tones_vary_and_margins_stay_black_also_in_an_inverted_picture(
    monkeypatch: pytest.MonkeyPatch,
):
    square = np.zeros((128, 128), np.uint8)
    square[:, 32:96] = 100
    tall = Example(an_entry(), "g", square, (), (), Letterbox.of(64, 128, 128))
    monkeypatch.setattr("training.batches.augment._NOISY", 0.0)
    # Turned and moved by a little, these places stay inside the radiograph and in its margins.
    for inverted, middle in ((0.0, -0.22), (1.0, 0.22)):
        monkeypatch.setattr("training.batches.augment._INVERTED", inverted)
        drawn = [augment(tall, TONED, np.random.default_rng(seed))[0][28:36, :, 0] for seed in range(60)]
        inside = np.array([x[:, 30:34].mean() for x in drawn])
        assert inside.mean() == pytest.approx(middle, abs=0.1)
        assert 0.1 < inside.std() < 0.4
        assert all((x[:, :2] == -1).all() and (x[:, -2:] == -1).all() for x in drawn)
    monkeypatch.setattr("training.batches.augment._NOISY", 1.0)
    noisy = np.array(
        [augment(tall, TONED, np.random.default_rng(seed))[0][28:36, 30:34].std() for seed in range(60)]
    )
    assert 0.02 < noisy.mean() < 0.06


def test_the_smallest_box_still_marks_a_cell_and_a_graze_does_not():
    mask = np.zeros((128, 128), np.uint8)
    mask[33:35, 33:35] = 255
    assert cells(mask, 64)[..., 0].sum() == 1
    mask[64:96, 64:97] = 255
    marked = cells(mask, 64)[..., 0]
    assert marked[2, 2]
    assert not marked[2, 3]


def test_a_batch_is_drawn_from_its_step_alone_and_keeps_its_share():
    examples = [example(fractured=i < 5, image=str(i)) for i in range(30)]
    batches = Batches(examples, 10, 0.4, seed=3)
    for step in (7, 2, 7):
        batch = batches.draw(step, WHOLE)
        assert np.array_equal(batch.x, Batches(examples, 10, 0.4, seed=3).draw(step, WHOLE).x)
        assert batch.fracture.sum() == 4
        assert batch.where.shape == (10, 4, 4, 1)
    assert not np.array_equal(batches.draw(1, WHOLE).x, batches.draw(2, WHOLE).x)
    assert not np.array_equal(batches.draw(1, WHOLE).x, batches.draw(1, replace(WHOLE, tones=1.0)).x)


def test_an_outline_marks_cells_before_a_box_and_no_mark_is_unknown():
    random = np.random.default_rng(0)
    boxed = example()
    outlined = Example(boxed.entry, "g", boxed.square, boxed.boxes, ((60.0, 40.0, 91.0, 40.0, 60.0, 71.0),))
    painted = np.asarray(draw_fractures(outlined)) > 0
    assert 0.4 < painted.sum() / (np.asarray(draw_fractures(boxed)) > 0).sum() < 0.6
    elsewhere = (10.0, 90.0, 20.0, 20.0)
    both = Example(boxed.entry, "g", boxed.square, (*boxed.boxes, elsewhere), outlined.polygons)
    assert (np.asarray(draw_fractures(both)) > 0).sum() == painted.sum() + 21 * 21, "a box without outline"
    unmarked = Example(boxed.entry, "g", boxed.square, (), ())
    assert (augment(unmarked, WHOLE, random)[1] == UNKNOWN).all()
    assert (augment(example(fractured=False), WHOLE, random)[1] == 0).all()


def test_an_unknown_cell_adds_no_loss():
    known, truth = np.full((2, 4, 4, 1), 0.3, np.float32), np.zeros((2, 4, 4, 1), np.float32)
    truth[0, 1, 1] = 1
    loss = cells_loss(8.0)
    some = truth.copy()
    some[1] = UNKNOWN
    changed = known.copy()
    changed[1] = 0.9
    assert float(loss(some, known)) == float(loss(some, changed))
    assert float(loss(truth, known)) != float(loss(truth, changed))


def test_a_window_shows_its_share_of_the_picture_where_tissue_is():
    random = np.random.default_rng(0)
    boxed, intact = example(side=256), example(fractured=False, side=256)
    drawn = [augment(boxed, QUARTERS, random) for _ in range(60)]
    assert {(x.shape, where.shape) for x, where in drawn} == {((64, 64, 1), (4, 4, 1))}
    # Aimed at the fracture most of the time, and the cells move with it.
    holding = [(x, where) for x, where in drawn if where.max() > 0]
    assert 40 <= len(holding) < 60
    for x, where in holding:
        bright = x[..., 0].reshape(4, 16, 4, 16).max(axis=(1, 3)) > 0
        assert not (where[..., 0].astype(bool) & ~bright).any()
    # The square of 32 pixels fills a quarter of a window of 64 source pixels, not a sixty-fourth.
    assert np.median([(x > 0).mean() for x, _ in holding]) > 0.15
    # Air is avoided: 1.6 % of this picture is bright, most windows show some of it.
    seen = [augment(intact, QUARTERS, random)[0].max() > 0 for _ in range(60)]
    assert sum(seen) > 30


def test_a_batch_of_windows_calls_fractured_what_shows_a_fracture():
    examples = [example(fractured=i < 8, image=str(i)) for i in range(30)]
    unmarked = Example(an_entry("u", True), "g", examples[0].square, (), ())
    batches = Batches([*examples, unmarked], 20, 0.5, seed=3)
    drawn = [batches.draw(step, WINDOWS) for step in range(4)]
    for batch in drawn:
        assert np.array_equal(batch.fracture[:, 0] > 0, batch.where.max(axis=(1, 2, 3)) > 0)
        assert (batch.where != UNKNOWN).all()
    assert 20 < sum(batch.fracture.sum() for batch in drawn) <= 40
    others = [
        Example(
            an_entry(str(i), i < 9, source="marks nothing"), "g", np.full((128, 128), 9, np.uint8), (), ()
        )
        for i in range(12)
    ]
    mixed = Batches([*examples, *others], 20, 0.5, seed=3)
    for step in range(4):
        chosen, _ = mixed.choose(step, WINDOWS)
        assert {one.entry.source for one in chosen} == {"drawn"}, "the look of a source says something"
        assert len(chosen) == 20
    with pytest.raises(StepRefused, match="boxes"):
        Batches([unmarked, examples[-1]], 2, 0.5, seed=3).draw(0, WINDOWS)


def test_each_source_gives_a_batch_the_same_share_of_fractured():
    few = [sourced("few", i, fractured=i < 3) for i in range(90)]
    many = [sourced("many", i, fractured=i < 25) for i in range(30)]
    batches = Batches([*few, *many], 24, 0.5, seed=3, source_shares={"many": 0.25})
    seen = Counter()
    for step in range(20):
        chosen, _ = batches.choose(step, WHOLE)
        assert Counter((one.entry.source, one.fractured) for one in chosen) == {
            ("few", True): 9,
            ("few", False): 9,
            ("many", True): 3,
            ("many", False): 3,
        }
        seen.update(one.entry.image for one in chosen if one.entry.source == "many" and not one.fractured)
    assert set(seen.values()) == {12}, "every image of a class comes up as often"


def test_a_source_of_one_class_joins_the_largest():
    both = [sourced("both", i, fractured=i < 5) for i in range(20)]
    intact = [sourced("intact", i, fractured=False) for i in range(9)]
    chosen, _ = Batches([*both, *intact], 10, 0.5, seed=3).choose(0, WHOLE)
    assert sum(one.fractured for one in chosen) == 5


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ({"elsewhere": 0.1}, "elsewhere"),
        ({"both": 0.7, "intact": 0.6}, "add up"),
        ({"intact": 0.2}, "lacks"),
    ],
)
def test_shares_that_cannot_be_kept_are_refused(shares: dict[str, float], why: str):
    examples = [sourced("both", i, fractured=i < 5) for i in range(20)]
    examples += [sourced("intact", i, fractured=False) for i in range(9)]
    with pytest.raises(StepRefused, match=why):
        Batches(examples, 10, 0.5, seed=3, source_shares=shares)


def test_an_example_turned_by_any_angle_takes_its_fracture_along():
    random, phase = np.random.default_rng(0), replace(WHOLE, any_angle=1.0)
    square = np.zeros((128, 128), np.uint8)
    square[8:40, 50:78] = 250
    top = Example(an_entry(), "g", square, ((50.0, 8.0, 28.0, 32.0),), ())
    rows = []
    for _ in range(60):
        x, where = augment(top, phase, random)
        bright = x[..., 0].reshape(4, 16, 4, 16).max(axis=(1, 3)) > 0
        assert not (where[..., 0].astype(bool) & ~bright).any()
        rows.append(np.nonzero(x[..., 0] > 0)[0].mean() if bright.any() else 32)
    assert min(rows) < 20
    assert max(rows) > 44, "upside down as well"


def test_wear_changes_the_picture_and_leaves_the_cells():
    worn = replace(WHOLE, wear=1.0)
    changed = 0
    for seed in range(40):
        x, where = augment(example(), WHOLE, np.random.default_rng(seed))
        y, same = augment(example(), worn, np.random.default_rng(seed))
        assert np.array_equal(where, same)
        assert -1 <= y.min() <= y.max() <= 1
        changed += not np.array_equal(x, y)
    assert 20 < changed < 40


def sourced(source: str, number: int, fractured: bool) -> Example:
    return Example(
        an_entry(f"{source}-{number}", fractured, source=source), "g", np.zeros((8, 8), np.uint8), (), ()
    )
