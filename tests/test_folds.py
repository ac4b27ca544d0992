"""Folds: no group on two sides, strata in equal shares, seeds that mean something."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit import folds


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.integers(2, 10), st.integers(0, 3), st.booleans())
def test_no_person_is_on_two_sides_and_no_fold_is_empty(persons, k, seed, stratified):
    groups = {f"image{n}": f"p{person}" for n, person in enumerate(persons)}
    k = min(k, len(set(persons)))
    if k < 2:
        with pytest.raises(ValueError, match="folds of 1 groups"):
            folds.assign(groups, k=2)
        return
    strata = dict.fromkeys(groups, "same") if stratified else None
    assigned = folds.assign(groups, k=k, seed=seed, strata=strata)
    assert list(assigned) == list(groups)
    assert set(assigned.values()) == set(range(k))
    sides = {person: {assigned[i] for i in groups if groups[i] == person} for person in set(groups.values())}
    assert all(len(numbers) == 1 for numbers in sides.values())


def hands(persons=60, tilted_every=5):
    groups = {f"{person:02d}_{hand}.png": f"ID{person:03d}" for person in range(persons) for hand in "LR"}
    pose = {i: "tilted" if int(i[:2]) % tilted_every == 0 else "upright" for i in groups}
    return groups, pose


def test_strata_are_shared_out_evenly():
    groups, pose = hands()
    for seed in range(5):
        assigned = folds.assign(groups, k=4, strata=pose, seed=seed)
        tilted = Counter(assigned[i] for i in groups if pose[i] == "tilted")
        assert Counter(assigned.values()) == dict.fromkeys(range(4), 30)
        assert tilted == dict.fromkeys(range(4), 6)  # 12 tilted persons, both hands


def test_folds_are_of_equal_size_without_strata():
    groups, _ = hands()
    assert Counter(folds.assign(groups).values()) == dict.fromkeys(range(5), 24)


def test_a_seed_repeats_and_another_shuffles():
    groups, pose = hands()
    for strata in (None, pose):
        same = [folds.assign(groups, strata=strata, seed=3) for _ in range(2)]
        assert same[0] == same[1]
        assert folds.assign(groups, strata=strata, seed=4) != same[0]


def test_the_order_of_images_does_not_matter():
    groups, pose = hands()
    backwards = dict(reversed(groups.items()))
    for strata in (None, pose):
        assert folds.assign(groups, strata=strata) == folds.assign(backwards, strata=strata)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 1}, "1 folds of 3 groups: expected between 2 and 3"),
        ({"k": 4}, "4 folds of 3 groups"),
        ({"k": 2, "strata": {"a": "x"}}, "2 images have no stratum: b, c"),
        ({"k": 2, "strata": {"a": "x", "b": "y", "c": "z"}}, "strata of at most 1 images"),
    ],
)
def test_folds_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        folds.assign({"a": "p", "b": "q", "c": "r"}, **arguments)


def test_written_and_read(tmp_path):
    groups, pose = hands(12)
    assigned = folds.assign(groups, k=3, strata=pose)
    folds.write(tmp_path / "folds.csv", assigned, groups)
    assert (tmp_path / "folds.csv").read_text().splitlines()[:1] == ["id,group,fold"]
    assert folds.read(tmp_path / "folds.csv") == (assigned, groups)


def test_a_file_that_puts_a_person_on_two_sides(tmp_path):
    (tmp_path / "folds.csv").write_text("id,group,fold\na,p,0\nb,p,1\n")
    with pytest.raises(ValueError, match=r"folds\.csv, line 3.*group p is in \[0, 1\]"):
        folds.read(tmp_path / "folds.csv")


def test_a_file_that_a_spreadsheet_has_saved(tmp_path):
    (tmp_path / "folds.csv").write_bytes("\ufeffid,group,fold\r\n뼈.png,p,0\r\nb,q,1\r\n".encode())
    assert folds.read(tmp_path / "folds.csv") == ({"뼈.png": 0, "b": 1}, {"뼈.png": "p", "b": "q"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,person,fold\na,p,0\n", "expected columns id, group, fold"),
        ("id,group,fold\na,p,x\n", "line 2, image a: expected a fold of 0 or more, got 'x'"),
        ("id,group,fold\na,p,-1\n", "got '-1'"),
        ("id,group,fold\na,p,0\na,p,0\n", "line 3: image a was there already"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        folds.read(tmp_path / "folds.csv")


def test_few_groups_and_many_strata_leave_no_fold_empty():
    for seed in range(30):
        groups = {f"{n}": f"g{n % 5}" for n in range(20)}
        strata = {f"{n}": "abcd"[n % 4] for n in range(20)}
        strata |= {f"{n}": "a" for n in range(0, 20, 5)}
        assigned = folds.assign(groups, k=5, strata=strata, seed=seed)
        assert set(assigned.values()) == set(range(5))
        uneven = {f"{n}": f"g{min(n // 9, 3)}" for n in range(30)}
        pose = {image: str(int(group == "g0")) for image, group in uneven.items()}
        assert set(folds.assign(uneven, k=4, strata=pose, seed=seed).values()) == set(range(4))
