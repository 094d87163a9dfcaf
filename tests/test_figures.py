"""The figures of the benchmarks, as they are stored."""

from pathlib import Path

from benchmarks.figures import figure, read_figures, write_figures


def test_figures_take_the_place_of_those_on_their_topic(tmp_path: Path):
    results = tmp_path / "results.json"
    queue = figure("scale: status", 2.4, "ms")
    write_figures(results, [figure("side by side: ours, against LitServe", 2.9, "radiographs/s"), queue])
    anew = figure("side by side: ours, against Flask", 4.8, "radiographs/s", 1.9, at_least=2)
    write_figures(results, [anew])
    assert read_figures(results) == [queue, anew]
