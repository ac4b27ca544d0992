import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from segkit.masks import MaskSet
from segkit.metrics import NO_CLASS, confusion
from segkit.rle import Runs

CLASSES = ("a", "b", "c")


def masks(maps, ignore=None):
    """A MaskSet of label maps: 0 is no class, 1 the first class."""
    sizes = {image: labels.shape for image, labels in maps.items()}
    ignored = None if ignore is None else lambda image: Runs.from_mask(ignore[image])
    return MaskSet(
        maps,
        CLASSES,
        lambda image, cls: Runs.from_mask(maps[image] == 1 + CLASSES.index(cls)),
        sizes=sizes,
        ignore=ignored,
    )


@pytest.mark.parametrize("ignoring", [False, True])
def test_equals_scikit_learn(ignoring):
    rng = np.random.default_rng(0)
    sizes = {"i": (7, 5), "j": (4, 9)}
    true, guess = ({i: rng.integers(0, 4, size) for i, size in sizes.items()} for _ in range(2))
    ignore = {i: rng.random(size) < 0.3 for i, size in sizes.items()}
    found = confusion(masks(guess), masks(true, ignore if ignoring else None))
    counted = {i: ~ignore[i] if ignoring else np.ones(size, bool) for i, size in sizes.items()}
    flat = [np.concatenate([maps[i][counted[i]] for i in sizes]) for maps in (true, guess)]
    expected = confusion_matrix(*flat, labels=[1, 2, 3, 0])
    assert found.to_numpy().tolist() == expected.tolist()
    assert found.index.tolist() == found.columns.tolist() == [*CLASSES, NO_CLASS]
    assert (found.index.name, found.columns.name) == ("true", "predicted")


def test_two_classes_in_one_pixel_are_refused():
    both = {"i": {"a": np.ones((2, 2), bool), "b": np.eye(2, dtype=bool)}}
    one = {"i": {"a": np.zeros((2, 2), bool), "b": np.eye(2, dtype=bool)}}
    with pytest.raises(ValueError, match="image i: expected one class a pixel, got pixels of several in the truth"):
        confusion(one, both)
    with pytest.raises(ValueError, match="image i: expected one class a pixel, got pixels of several in the predict"):
        confusion(both, one)
