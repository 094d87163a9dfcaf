from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.models.roll_out import RollOut, RollOuts
from jobs.record.ids import new_id

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def test_a_canary_gets_its_share_and_keeps_its_jobs_in_a_larger_one():
    ids = [new_id("job") for _ in range(4000)]
    few, many = RollOut().with_canary(B, 5), RollOut().with_canary(B, 25)
    in_few, in_many = ({i for i in ids if part.assigned(i)} for part in (few, many))
    assert 120 < len(in_few) < 280
    assert 850 < len(in_many) < 1150
    assert in_few <= in_many
    assert few.assigned(next(iter(in_few))) == B
    shadowed = {i for i in ids if RollOut().with_shadow(C, 25).shadowed(i)}
    assert 150 < len(in_many & shadowed) < 350, "the shadow's share is another one"


def test_a_roll_back_ends_the_canary_first_and_then_the_promotion():
    promoted = RollOut().promoted(A).promoted(B).with_canary(C, 10)
    without_canary = promoted.rolled_back()
    assert (without_canary.active, without_canary.canary) == (B, None)
    assert without_canary.rolled_back().active == A
    assert without_canary.rolled_back().rolled_back().active is None
    assert RollOut().rolled_back().active is None, "it always works"


def test_a_promotion_ends_the_canary_and_the_shadow_of_that_bundle():
    before = RollOut().promoted(A).with_shadow(B, 100).with_canary(B, 10)
    after = before.promoted(B)
    assert (after.active, after.canary, after.shadow, after.before) == (B, None, None, (A, None))
    assert before.promoted(C).shadow == B


@pytest.mark.parametrize("percent", [-1, 50.1, 100, float("nan")])
def test_a_share_of_a_canary_out_of_its_range_is_refused(percent: float):
    with pytest.raises(ValueError, match="out of its range"):
        RollOut().with_canary(A, percent)
    assert RollOut().with_canary(A, 50).with_canary(A, 0).canary is None


@pytest.mark.parametrize("part", ["canary", "shadow"])
def test_a_share_of_nothing_ends_no_other_bundle(part: str):
    rolls = RollOut().with_canary(A, 5).with_shadow(A, 5)
    with_part = rolls.with_canary if part == "canary" else rolls.with_shadow
    with pytest.raises(ValueError, match=f"is not the {part}"):
        with_part(B, 0)
    assert getattr(with_part(A, 0), part) is None


def test_a_roll_back_of_nothing_writes_nothing(ledger):
    roll_outs = RollOuts(ledger.records)
    assert roll_outs.change(RollOut.rolled_back) == RollOut()
    assert not list(ledger.objects.keys("models/"))
    roll_outs.change(lambda now: now.promoted(A).rolled_back())
    before = list(ledger.objects.keys("models/"))
    roll_outs.change(RollOut.rolled_back)
    assert list(ledger.objects.keys("models/")) == before


def test_two_operators_at_once_change_one_after_the_other(ledger):
    roll_outs = RollOuts(ledger.records)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda digest: roll_outs.change(lambda now: now.promoted(digest)), (A, B, C)))
    found = roll_outs.read()
    assert {found.active, *found.before} == {A, B, C, None}
    assert len(found.before) == 3


def test_a_roll_out_that_was_read_is_remembered_for_its_time(ledger):
    remembers, writes = RollOuts(ledger.records, 30), RollOuts(ledger.records)
    assert remembers.read() == RollOut()
    writes.change(lambda now: now.promoted(A))
    assert remembers.read() == RollOut()
    assert RollOuts(ledger.records, 30).read().active == A
