import re

import numpy as np

from segkit.report import charts


def draw(**changes):
    settings = {"xlabel": "epoch", "words": "loss <by> epoch", **changes}
    return charts.lines({"a": ([1, 2, 3], [1.0, np.nan, 3.0]), "b<c": ([1, 2, 3], [2.0, 2.0, 2.0])}, **settings)


def test_text_stays_text_and_is_escaped():
    svg = draw()
    assert ">epoch</text>" in svg
    assert "b&lt;c" in svg
    assert 'aria-label="loss &lt;by&gt; epoch"' in svg
    assert "<by>" not in svg


def test_colours_are_the_pages():
    svg = draw()
    assert "var(--series-0)" in svg
    assert "#0a0b" not in svg
    assert "<style" not in svg  # a style inside an inline SVG would be the whole page's


def test_ids_are_referenced_and_differ_between_charts():
    found = []
    for svg in (draw(), draw(log=True)):
        ids = re.findall(r' id="([^"]+)"', svg)
        assert set(ids) == set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
        found.append(set(ids))
    assert found[0]
    assert not found[0] & found[1]


def test_the_same_input_draws_the_same_bytes():
    assert draw() == draw()


def test_a_threshold_curve_of_nothing_known_is_drawn():
    nothing = np.full(3, np.nan)
    svg = charts.threshold_curve(np.array([0.1, 0.5, 0.9]), nothing, 0.5, colour="#ff0000", span=0.05, words="")
    assert svg.startswith("<svg")


def test_loss_map_names_its_rows_and_counts_its_images():
    svg = charts.loss_map(np.array([[1.0, 0.5], [np.nan, 0.0]]), ["x<y", "z"], worst=0.5, words="")
    assert "x&lt;y" in svg
    assert "2 images" in svg
