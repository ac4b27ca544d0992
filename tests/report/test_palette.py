import itertools

import numpy as np
import pytest

from segkit.report.palette import class_colours


def rgb(text):
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)])


@pytest.mark.parametrize("count", [1, 2, 5, 11, 29])
def test_every_class_has_its_own_visible_colour(count):
    colours = [rgb(c) for c in class_colours([f"c{i}" for i in range(count)]).values()]
    assert len(colours) == count
    for colour in colours:  # neither lost on paper nor on a black radiograph
        luminance = (0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]) / 255
        assert 0.3 < luminance < 0.85
    for a, b in itertools.combinations(colours, 2):
        assert np.abs(a - b).max() >= 20


def test_a_class_keeps_its_colour_from_run_to_run():
    assert class_colours(("a", "b")) == class_colours(("a", "b"))
    assert class_colours(()) == {}
