"""Overlap by hand, and against whole arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit import grid
from segkit.postprocess import limit_overlap
from segkit.rle import Runs

SIZE = (23, 31)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([-2.0, 0.0, 3.0]), st.booleans())
def test_it_is_its_slow_twin(seed, lift, by_planes):
    rng = np.random.default_rng(seed)
    planes = {c: rng.normal(lift, 2, (9, 8)).astype(np.float32) for c in "abc"}
    full = {c: grid.upsample(p, SIZE) for c, p in planes.items()}
    wanted = {c: f > 0 for c, f in full.items()}
    masks = {c: Runs.from_mask(m) for c, m in wanted.items()}
    before = dict(masks)
    pairs = [("a", "b"), ("c", "b")]
    for first, second in pairs:
        common = wanted[first] & wanted[second]
        to_second = common & (full[second] > full[first]) if by_planes else np.zeros(SIZE, bool)
        wanted[first] = wanted[first] & ~to_second
        wanted[second] = wanted[second] & ~(common & ~to_second)
    found = limit_overlap(masks, pairs=pairs, planes=planes if by_planes else None)
    assert list(found) == ["a", "b", "c"]
    assert all(found[c] == Runs.from_mask(m) for c, m in wanted.items())
    assert all(found[c].shape == SIZE for c in found)
    assert not found["a"] & found["b"]
    assert masks == before
    assert limit_overlap(found, pairs=pairs, planes=planes if by_planes else None) == found


def test_only_named_pairs_and_only_more_than_is_allowed():
    masks = {"a": Runs([[0, 4]], (2, 9)), "b": Runs([[2, 7]], (2, 9)), "c": Runs([[0, 9]], (2, 9))}
    assert limit_overlap(masks, pairs=[]) == masks
    assert limit_overlap(masks, pairs=[("a", "b")], allowed=2) == masks
    found = limit_overlap(masks, pairs=[("b", "a")], allowed=1.5)
    assert {c: r.text() for c, r in found.items()} == {"a": "1 2", "b": "3 5", "c": "1 9"}
    full = {"a": Runs([[0, 18]], (2, 9)), "b": Runs([[3, 15]], (2, 9))}  # one run over two rows
    even = dict.fromkeys("ab", np.zeros((1, 1)))
    assert [r.area for r in limit_overlap(full, pairs=[("a", "b")], planes=even).values()] == [18, 0]
    higher = {"a": np.zeros((1, 1)), "b": np.ones((1, 1))}
    assert [r.area for r in limit_overlap(full, pairs=[("a", "b")], planes=higher).values()] == [6, 12]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pairs": [("a", "Ulan")]}, r"pair \(a, Ulan\): no mask of class 'Ulan'; did you mean Ulna"),
        ({"pairs": [("a", "a")]}, "one class"),
        ({"pairs": [("a", "Ulna")]}, r"pair \(a, Ulna\): masks of different shapes"),
        ({"pairs": [("a", "b")], "planes": {"a": np.zeros((1, 1))}}, "no plane of class 'b'"),
        ({"pairs": [("a", "b")], "allowed": -1}, "allowed=-1"),
    ],
)
def test_what_cannot_be_limited(more, message):
    masks = {"a": Runs([[0, 4]], (2, 9)), "b": Runs([[2, 7]], (2, 9)), "Ulna": Runs([[2, 7]], (1, 9))}
    with pytest.raises(ValueError, match=message):
        limit_overlap(masks, **more)


def test_runs_without_a_shape_need_one_for_planes():
    masks, planes = {"a": Runs([[0, 4]]), "b": Runs([[2, 7]])}, dict.fromkeys("ab", np.zeros((1, 1)))
    assert limit_overlap(masks, pairs=[("a", "b")])["b"].area == 3
    with pytest.raises(ValueError, match="with_shape"):
        limit_overlap(masks, pairs=[("a", "b")], planes=planes)
