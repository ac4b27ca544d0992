"""Selection of pseudo-labels: measures counted by hand, what is left out and why, labels on disk."""

import numpy as np
import pandas as pd
import pytest

from segkit import pseudo
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels

CLASSES = ("a", "b")


def store(path, logits, *, classes=CLASSES):
    """One store of {image: (C, h, w)}."""
    first = next(iter(logits.values()))
    sizes = dict.fromkeys(logits, (16, 16))
    made = PredictionStore.create(path, ids=list(logits), classes=classes, sizes=sizes, grid=first.shape[1:])
    for image, values in logits.items():
        made[image] = np.asarray(values, np.float32)
    return made


def plane(inside, outside=-3.97, size=4):
    """`inside` in the upper half."""
    out = np.full((size, size), outside, np.float32)
    out[: size // 2] = inside
    return out


def test_confidence_is_the_dice_that_the_probabilities_expect(tmp_path):
    logits = np.stack([plane(1.0, -2.0), plane(-1.0, -1.0)])
    table = pseudo.select(store(tmp_path / "s.zarr", {"i": logits})).table
    inside, outside, empty = (float(resize.sigmoid(v)) for v in (1.0, -2.0, -1.0))
    assert table["pixels"].tolist() == [8, 0]
    assert table["confidence"][0] == pytest.approx(2 * 8 * inside / (8 + 8 * inside + 8 * outside), abs=1e-6)
    assert table["confidence"][1] == pytest.approx(1 - empty, abs=1e-6)
    assert table["agreement"].isna().all()


def test_the_ends_of_the_stores_range_are_as_sure_as_it_can_say(tmp_path):
    found = pseudo.select(store(tmp_path / "s.zarr", {"i": np.stack([plane(9.0, -9.0), plane(-9.0, -9.0)])}))
    assert found.table["confidence"].tolist() == [1.0, 1.0]
    target, weight = found.label("i")
    assert target[0].tolist() == plane(1.0, 0.0).tolist()
    assert not target[1].any()
    assert weight.all()


def test_agreement_is_the_dice_between_each_two_and_where_they_differ_weighs_nothing(tmp_path):
    one, other = np.stack([plane(3.5), plane(-3.97)]), np.stack([plane(3.5), plane(-3.97)])
    other[0, 2] = 3.5  # three rows instead of two
    third = np.stack([plane(3.5), plane(-3.97)])
    stores = [store(tmp_path / f"{n}.zarr", {"i": values}) for n, values in enumerate((one, other, third))]
    found = pseudo.select(stores, agreement=0.0, confidence=0.0)
    assert found.table["agreement"].tolist() == pytest.approx([(2 * 2 * 8 / 20 + 1) / 3, 1.0])
    weight = found.label("i", ignore=0)[1]
    assert weight[0].tolist() == [[1] * 4, [1] * 4, [0] * 4, [1] * 4]
    assert weight[1].all()
    assert pseudo.select(stores).table["why"].tolist() == ["disagreement", "kept"]  # .867 is below .9


def test_pixels_near_the_threshold_are_ignored_and_a_class_that_is_not_kept_weighs_nothing(tmp_path):
    a = plane(3.5)
    a[1] = 0.5  # p = .62
    found = pseudo.select(store(tmp_path / "s.zarr", {"i": np.stack([a, plane(0.1, -0.1)])}), confidence=0.8)
    assert found.table["why"].tolist() == ["kept", "unsure"]
    for ignore, kept in ((0.0, True), (0.1, True), (0.2, False)):
        weight = found.label("i", ignore=ignore)[1]
        assert weight[0, 1].all() == kept == weight[0, 1].any()
        assert weight[0, [0, 2, 3]].all()
        assert not weight[1].any()
    hard = found.label("i", kind="hard")[0]
    assert hard[0].tolist() == plane(1.0, 0.0).tolist()


def test_thresholds_and_confidence_of_a_class(tmp_path):
    logits = {"i": np.stack([plane(1.0), plane(1.0)])}
    found = pseudo.select(
        store(tmp_path / "s.zarr", logits), thresholds={"a": 0.8, "*": 0.5}, confidence={"b": 0.9, "*": 0.2}
    )
    assert found.table["pixels"].tolist() == [0, 8]  # .73 is below .8
    assert found.table["why"].tolist() == ["kept", "unsure"]


def test_a_cap_keeps_the_most_confident_of_a_class(tmp_path):
    logits = {f"i{n}": np.stack([plane(2.0 + 0.25 * n), plane(3.5)]) for n in (2, 0, 3, 1)}
    found = pseudo.select(store(tmp_path / "s.zarr", logits), cap={"a": 2, "*": None})
    by = found.table[found.table["class"] == "a"].set_index("image")["why"]
    assert {i for i in by.index if by[i] == "kept"} == {"i2", "i3"}
    assert set(by) == {"kept", "cap"}
    assert found.summary.set_index("class").loc["a", ["images", "kept", "cap"]].tolist() == [4, 2, 2]
    assert found.summary.set_index("class").loc["b", "kept"] == 4


def test_empty_masks_do_not_fill_the_cap_of_a_rare_class(tmp_path):
    """An empty mask is surer than nearly every mask that is there: each kind has the cap for itself."""
    there = {f"there{n}": np.stack([plane(2.5 + 0.1 * n, -3.5)] * 2) for n in range(3)}
    empty = {f"empty{n}": np.stack([plane(-3.97)] * 2) for n in range(4)}
    found = pseudo.select(store(tmp_path / "s.zarr", {**empty, **there}), cap={"a": 2, "*": None}, confidence=0.5)
    table = found.table[found.table["class"] == "a"].set_index("image")
    assert table.loc[list(empty), "confidence"].min() > table.loc[list(there), "confidence"].max()
    assert set(table.index[table["kept"]]) == {"empty0", "empty1", "there1", "there2"}
    assert table.loc[["empty2", "empty3", "there0"], "why"].tolist() == ["cap"] * 3


def test_an_image_without_a_kept_class_is_no_label(tmp_path):
    logits = {"sure": np.stack([plane(3.5)] * 2), "unsure": np.stack([plane(0.1, -0.1)] * 2)}
    found = pseudo.select(store(tmp_path / "s.zarr", logits))
    assert found.ids == ("sure",)
    with pytest.raises(KeyError, match="'unsure' is not selected"):
        found.label("unsure")


def test_stores_of_other_grids_meet_at_the_finest(tmp_path):
    fine = store(tmp_path / "f.zarr", {"i": np.stack([plane(3.5, size=8)] * 2)})
    coarse = store(tmp_path / "c.zarr", {"i": np.stack([plane(3.5, size=4)] * 2)})
    found = pseudo.select([coarse, fine], agreement=0.5, confidence=0.5)
    target, weight = found.label("i")
    assert target.shape == weight.shape == (2, 8, 8)
    mean = (fine["i"][0] + resize.upsample(coarse["i"][0], (8, 8))) / 2
    inner = np.abs(mean) < fine.saturation
    assert target[0][inner] == pytest.approx(resize.sigmoid(mean)[inner], abs=1e-6)


def test_labels_come_back_from_disk(tmp_path):
    rng = np.random.default_rng(0)
    logits = {f"i{n}.png": np.stack([plane(3.0) + rng.normal(0, 0.3, (4, 4)), plane(3.5)]) for n in range(3)}
    found = pseudo.select(store(tmp_path / "s.zarr", logits), confidence=0.5)
    written = found.write(
        tmp_path / "labels", ignore=0.1, learnt_from=["p2", "p1", "p2"], groups={i: f"t{i[1]}" for i in logits}
    )
    again = Labels(tmp_path / "labels")
    assert again.ids == written.ids == found.ids
    assert (again.classes, again.grid) == (CLASSES, (4, 4))
    assert (again.labelled, again.learnt_from) == (("t0", "t1", "t2"), ("p1", "p2"))
    for image in again.ids:
        target, weight = again[image]
        soft, counts = found.label(image, ignore=0.1)
        assert np.abs(target / 255 - soft).max() <= 0.5 / 255 + 1e-6
        assert weight.tolist() == counts.tolist()
    table = pd.read_csv(tmp_path / "labels" / "selection.csv")
    assert table["why"].tolist() == found.table["why"].tolist()
    with pytest.raises(ValueError, match="holds pseudo-labels already"):
        found.write(tmp_path / "labels")
    with pytest.raises(KeyError, match="no label of image 'x'"):
        again["x"]


def exclusive(path, logits):
    """A store of classes of which each pixel has one."""
    made = store(path, logits, classes=("a", "b", "c"))
    made.exclusive = True
    return made


def test_exclusive_classes_are_read_by_softmax_and_argmax(tmp_path):
    """Four pixels: a is most probable, b, b by little, c; thresholds have no say."""
    values = np.array([[[3.0, 0], [0, 0]], [[0, 3.0], [0.5, 0]], [[0, 0], [0, 3.0]]])
    made = exclusive(tmp_path / "s.zarr", {"i": values})
    logits = made["i"]
    probs = np.exp(logits) / np.exp(logits).sum(0)
    found = pseudo.select(made, confidence=0.0, thresholds=0.99)
    assert found.table["pixels"].tolist() == [1, 2, 1]
    inside = [probs[0, 0, 0], probs[1, 0, 1] + probs[1, 1, 0], probs[2, 1, 1]]
    expected = [2 * i / (n + p.sum()) for i, n, p in zip(inside, (1, 2, 1), probs)]
    assert found.table["confidence"].tolist() == pytest.approx(expected, abs=1e-6)
    target, weight = found.label("i", ignore=0.2)
    np.testing.assert_allclose(target, probs, atol=1e-6)
    assert weight.tolist() == [[[1, 1], [0, 1]]] * 3  # the second b: .45 against .27
    hard = found.label("i", kind="hard", ignore=0.05)
    assert hard[0].argmax(0).tolist() == [[0, 1], [1, 2]]
    assert hard[1].all()


def test_exclusive_pixels_of_a_class_that_is_not_kept_or_where_stores_differ_weigh_nothing(tmp_path):
    values = np.array([[[3.0, 0], [3, 0]], [[0, 3.0], [0, 3.0]], [[0, 0], [0, 0]]])
    other = values.copy()
    other[:, 1, 1] = [0, 0, 3.5]  # b in one store, c in the other
    stores = [exclusive(tmp_path / f"{n}.zarr", {"i": logits}) for n, logits in enumerate((values, other))]
    weight = pseudo.select(stores, confidence=0.0, agreement=0.0).label("i", ignore=0)[1]
    assert weight.tolist() == [[[1, 1], [1, 0]]] * 3
    found = pseudo.select(stores[0], confidence={"a": 0.99, "*": 0.5})
    assert found.table["why"].tolist() == ["unsure", "kept", "kept"]
    assert found.label("i", ignore=0)[1].tolist() == [[[0, 1], [0, 1]]] * 3
    plain = store(tmp_path / "plain.zarr", {"i": values}, classes=("a", "b", "c"))
    with pytest.raises(ValueError, match="the classes of one are exclusive"):
        pseudo.select([stores[0], plain])


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b.png", "..", "x\\y", "batch_1/i.png"])
def test_an_id_names_no_file_outside_the_folder(name, tmp_path):
    logits = {name: np.stack([plane(3.5)] * 2), "i": np.stack([plane(3.5)] * 2)}
    made = store(tmp_path / "stores" / "s.zarr", logits)
    before = {path for path in tmp_path.rglob("*") if "stores" not in path.parts}
    labels = pseudo.select(made).write(tmp_path / "deep" / "labels")
    after = {path for path in tmp_path.rglob("*") if "stores" not in path.parts} - before
    assert all(path == tmp_path / "deep" or (tmp_path / "deep" / "labels") in (path, path.parent) for path in after)
    assert sorted(labels.ids) == sorted(logits)
    assert labels[name][0].shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"confidence": 1.5}, "confidence=1.5 for class a"),
        ({"confidence": {"a": 0.5}}, "no setting for"),
        ({"agreement": 0.9}, "agrees with nobody"),
        ({"cap": {"a": 0, "*": None}}, "cap of a: .*, got 0"),
        ({"cap": "x"}, "cap of a: expected at least 1 image, .*got 'x'"),
        ({"cap": 1.5}, "cap of a: .* got 1.5"),
        ({"confidence": "high"}, "confidence='high' for class a"),
        ({"thresholds": {"x": 0.5, "*": 0.5}}, "no such class"),
    ],
)
def test_bad_knobs_are_named(tmp_path, settings, said):
    with pytest.raises(ValueError, match=said):
        pseudo.select(store(tmp_path / "s.zarr", {"i": np.stack([plane(3.5)] * 2)}), **settings)


def test_bad_use_is_named(tmp_path):
    made = store(tmp_path / "s.zarr", {"i": np.stack([plane(0.1, -0.1)] * 2)})
    with pytest.raises(ValueError, match="at least one store"):
        pseudo.select([])
    with pytest.raises(KeyError, match="lacks 1 images"):
        pseudo.select(made, ids=["nobody"])
    with pytest.raises(ValueError, match="no class of any image"):
        pseudo.select(made).write(tmp_path / "labels")
    sure = pseudo.select(made, confidence=0.0)
    with pytest.raises(ValueError, match="got 'firm'"):
        sure.label("i", kind="firm")
    with pytest.raises(ValueError, match=r"got 0\.5"):
        sure.label("i", ignore=0.5)
    with pytest.raises(ValueError, match="holds no pseudo-labels"):
        Labels(tmp_path)
