"""Pseudo-labels: measures counted by hand, what is left out and why, who may not learn from whom, rounds that stop."""

import numpy as np
import pandas as pd
import pytest

from segkit import pseudo
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels, Taught

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
    assert table["cells"].tolist() == [8, 0]
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


def test_agreement_is_the_dice_between_each_two_and_their_quarrels_weigh_nothing(tmp_path):
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


def test_cells_near_the_threshold_are_ignored_and_a_class_that_is_not_kept_weighs_nothing(tmp_path):
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
    assert found.table["cells"].tolist() == [0, 8]  # .73 is below .8
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
        tmp_path / "labels", ignore=0.1, learnt_from=["p2", "p1", "p2"], persons={i: f"t{i[1]}" for i in logits}
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
    with pytest.raises(ValueError, match="holds pseudo-labels"):
        found.write(tmp_path / "labels")
    with pytest.raises(KeyError, match="no label of image 'x'"):
        again["x"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"confidence": 1.5}, "confidence=1.5 for class a"),
        ({"confidence": {"a": 0.5}}, "no setting for"),
        ({"agreement": 0.9}, "agrees with nobody"),
        ({"cap": {"a": 0, "*": None}}, "cap of a: 0"),
        ({"cap": "x"}, "cap of a: 'x'; at least 1 image"),
        ({"cap": 1.5}, "cap of a: 1.5"),
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
    with pytest.raises(ValueError, match="kind='firm'"):
        sure.label("i", kind="firm")
    with pytest.raises(ValueError, match=r"ignore=0\.5"):
        sure.label("i", ignore=0.5)
    with pytest.raises(ValueError, match="holds no pseudo-labels"):
        Labels(tmp_path)


def test_the_guard_names_who_may_not_have_helped():
    pseudo.guard(["a"], labelled=["t"], learnt_from=["b"])
    with pytest.raises(ValueError, match="held-out persons have pseudo-labels: a;"):
        pseudo.guard(["a", "c"], labelled=["a", "t"], learnt_from=["b"])
    with pytest.raises(ValueError, match="p0, p1, p2, p3, p4 and 2 more"):
        pseudo.guard([f"p{n}" for n in range(7)], labelled=[], learnt_from=[f"p{n}" for n in range(9)])


IDS = [f"i{n}" for n in range(8)]
PERSONS = {i: i for i in IDS}


def dice(level):
    """Held-out Dice around a level, persons apart."""
    return pd.DataFrame(np.linspace(-0.05, 0.05, 8)[:, None] + [[level, level]], index=IDS, columns=list(CLASSES))


def teaching(*levels):
    """A fit_fn whose round n ends at levels[n - 1], and what it was taught by."""
    seen = []

    def fit_fn(predictions, number):
        seen.append(predictions)
        return Taught(f"student {number}", dice(levels[number - 1]))

    return fit_fn, seen


def test_a_teacher_that_is_not_better_is_refused_with_the_numbers_before_anything_is_trained():
    fit_fn, seen = teaching(0.9)
    uneven = dice(0.6)
    uneven.iloc[:4] += 0.2
    uneven.iloc[4:] -= 0.19
    for teacher in (dice(0.6), dice(0.5), uneven):
        with pytest.raises(ValueError, match=r"not significantly better.*95 % interval.*8 groups, 8 images"):
            pseudo.rounds(fit_fn, Taught("teacher", teacher), dice(0.6), PERSONS)
    assert seen == []


def test_each_round_is_taught_by_the_last_kept_and_ends_where_nobody_gains():
    fit_fn, seen = teaching(0.65, 0.68, 0.66, 0.9)
    found = pseudo.rounds(fit_fn, Taught("teacher", dice(0.7)), dice(0.6), PERSONS, most=4)
    assert seen == ["teacher", "student 1", "student 2"]
    assert [r.kept for r in found.rounds] == [True, True, False]
    assert [r.gain.gain for r in found.rounds] == pytest.approx([0.05, 0.03, -0.02])
    assert [r.lead.gain for r in found.rounds] == pytest.approx([0.1, 0.05, 0.08])
    assert found.best.predictions == "student 2"


def test_a_student_that_is_sure_of_nothing_teaches_nobody_and_what_was_kept_stays():
    def fit_fn(predictions, number):
        return Taught("student", dice(0.65)) if number == 1 else None

    found = pseudo.rounds(fit_fn, Taught("teacher", dice(0.7)), dice(0.6), PERSONS, most=3)
    assert [r.kept for r in found.rounds] == [True]
    assert found.best.predictions == "student"


def test_labels_that_gain_nothing_leave_the_plain_student():
    fit_fn, _ = teaching(0.6)
    found = pseudo.rounds(fit_fn, Taught("teacher", dice(0.7)), dice(0.6), PERSONS, most=3)
    assert found.best is None
    assert [r.kept for r in found.rounds] == [False]
    with pytest.raises(ValueError, match="most=0"):
        pseudo.rounds(fit_fn, Taught("teacher", dice(0.7)), dice(0.6), PERSONS, most=0)
    with pytest.raises(ValueError, match="5 held-out persons"):
        pseudo.rounds(fit_fn, Taught("teacher", dice(0.7)[:5]), dice(0.6)[:5], PERSONS)
