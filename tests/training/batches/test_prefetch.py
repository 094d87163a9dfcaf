"""Batches drawn ahead come in order, come from several threads, and fail where they would have failed."""

from threading import Event

import pytest

from training.batches.prefetch import draw_ahead


def test_the_first_batch_may_take_longer_than_the_second():
    second_begun = Event()

    def draw(step: int) -> int:
        if step == 1:
            second_begun.set()
        elif step == 0:
            assert second_begun.wait(60), "nothing was drawn beside the first batch"
        return step

    assert list(draw_ahead(draw, range(5), 2)) == [0, 1, 2, 3, 4]


def test_a_batch_that_cannot_be_drawn_fails_at_its_step():
    coming = draw_ahead(lambda step: 6 // (2 - step), range(5), 3)
    assert [next(coming), next(coming)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(coming)


def test_no_more_is_drawn_than_so_many_steps_ahead():
    steps = iter(range(100))
    coming = draw_ahead(lambda step: step, steps, 2)
    assert next(coming) == 0
    assert next(steps) == 3, "steps 1 and 2 are being drawn, and no others"
    coming.close()
