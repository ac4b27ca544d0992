"""Counts against full-size arrays; what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.metrics import Counts, count
from segkit.rle import Runs


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9))
def test_counts_are_those_of_arrays(seed, height, width):
    rng = np.random.default_rng(seed)
    pred, truth = ({i: {c: rng.random((height, width)) < 0.5 for c in "xy"} for i in "ab"} for _ in range(2))
    found = count({i: {c: Runs.from_mask(m) for c, m in row.items()} for i, row in pred.items()}, truth)
    for n, i in enumerate("ab"):
        for k, c in enumerate("xy"):
            p, t = pred[i][c], truth[i][c]
            assert (found.tp[n, k], found.predicted[n, k], found.target[n, k]) == ((p & t).sum(), p.sum(), t.sum())
    assert found.shape == (2, 2)
    assert found.tp.dtype == np.int64
    assert found.pooled().tp.tolist() == [found.tp.sum(axis=0).tolist()]
    assert (found + found).target.tolist() == (2 * found.target).tolist()
    assert found.subset([1]).predicted.tolist() == [found.predicted[1].tolist()]
    assert found.subset(np.array([False, True])).tp.tolist() == found.subset([1]).tp.tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([[1.0]], [[1]], [[1]]), "integer counts, got float64"),
        (([[1]], [[1, 2]], [[1]]), "one shape"),
        (([1], [1], [1]), "one shape"),
        (([[2]], [[1]], [[3]]), "tp <= predicted"),
        (([[2]], [[3]], [[1]]), "tp <= target"),
        (([[-1]], [[3]], [[1]]), "0 <= tp"),
    ],
)
def test_counts_that_cannot_be(arrays, message):
    with pytest.raises(ValueError, match=message):
        Counts(*arrays)


def test_counts_have_axes_in_front():
    tp = np.arange(12).reshape(2, 3, 2)
    found = Counts(tp, tp + 1, tp + 2)
    assert found.pooled().shape == (2, 1, 2)
    assert found.subset([0, 2]).shape == (2, 2, 2)


def test_a_class_that_is_never_predicted():
    found = Counts([[0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 2, 0]], [[3, 0, 0], [0, 1, 0]])
    assert found.never_predicted.tolist() == [True, False, False]
