"""A MaskSet of a dictionary, its subset, and the pixels that count nowhere."""

import numpy as np
import pytest

from segkit.masks import MaskSet
from segkit.rle import Runs

MASKS = {
    "a": {"x": np.eye(3, dtype=bool), "y": Runs([[0, 2]], (3, 3))},
    "b": {"x": Runs([[1, 2]])},
}


def test_of_a_dictionary():
    masks = MaskSet.from_dict(MASKS, name="mine")
    assert (masks.ids, masks.classes, masks.name) == (("a", "b"), ("x", "y"), "mine")
    assert masks.sizes == {"a": (3, 3)}
    assert list(masks.rows) == [("a", "x"), ("a", "y"), ("b", "x")]
    assert masks["a"]["x"].array.tolist() == [[0, 1], [4, 5], [8, 9]]
    with pytest.raises(KeyError):
        masks["b"]["y"]
    with pytest.raises(ValueError, match="image c, class x"):
        MaskSet.from_dict({"c": {"x": np.ones(3)}})["c"]["x"]


def test_a_subset_keeps_rows_sizes_and_what_is_ignored():
    ignored = {"a": Runs([[0, 1]])}
    masks = MaskSet(("a", "b"), ("x",), lambda i, c: Runs([]), sizes={"a": (3, 3)}, ignore=ignored.get)
    part = masks.subset(["b", "a"])
    assert part.ids == ("b", "a")
    assert (part.ignore("a"), part.ignore("b")) == (Runs([[0, 1]]), None)
    assert list(MaskSet.from_dict(MASKS).subset(["b"]).rows) == [("b", "x")]
    assert MaskSet.from_dict(MASKS).ignore("a") is None
    for wrong in (masks.subset, masks.ignore):
        with pytest.raises(KeyError, match="no image 'c'"):
            wrong("c")


def test_masks_as_lists_and_a_mask_of_no_shape():
    masks = MaskSet.from_dict({"a": {"x": [[0, 1], [1, 1]]}, "b": {"x": Runs([[0, 1]]), "y": np.ones((4, 5), bool)}})
    assert masks["a"]["x"].area == 3
    assert masks.sizes == {"b": (4, 5)}
