from threading import Event

import pytest

from worker.inference.batcher import Batcher


def test_what_waits_while_the_model_runs_goes_in_one_batch():
    sizes = []
    first_is_in, go_on = Event(), Event()

    def work(items):
        sizes.append(len(items))
        first_is_in.set()
        go_on.wait()
        return [item * 2 for item in items]

    batcher = Batcher(work, most=4)
    futures = [batcher.submit(0)]
    first_is_in.wait()
    futures += [batcher.submit(number) for number in range(1, 7)]
    go_on.set()
    assert [future.result() for future in futures] == [0, 2, 4, 6, 8, 10, 12]
    assert sizes == [1, 4, 2]


def test_one_bad_item_does_not_take_its_neighbours_down():
    first_is_in, go_on = Event(), Event()

    def work(items):
        first_is_in.set()
        go_on.wait()
        return [1 / item for item in items]

    batcher = Batcher(work, most=8)
    futures = [batcher.submit(number) for number in (1, 2, 0, 4)]
    first_is_in.wait()
    go_on.set()
    assert [futures[i].result() for i in (0, 1, 3)] == [1, 0.5, 0.25]
    with pytest.raises(ZeroDivisionError):
        futures[2].result()
    assert batcher.submit(8).result() == 0.125
