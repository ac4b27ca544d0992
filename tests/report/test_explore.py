import os
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from segkit.report import eda, write_eda
from segkit.report.explore import AREA, by_group
from segkit.samples import Samples

CLASSES = ("a", "b", "c")


def data_set(folder, masks, *, size=(12, 9), first=0, labelled=True):
    """Samples of images with these masks ({image: {class: bool}}), two a group from number `first` on."""
    rows = []
    for number, name in enumerate(masks, first):
        path = folder / name
        cv2.imwrite(str(path), np.full(size, 7 * number, np.uint8))
        rows.append({"id": name, "image": path, "group": f"ID{number // 2:03d}"})
    return Samples.from_table(rows, read_masks=(lambda row: masks[row["id"]]) if labelled else None, classes=CLASSES)


@pytest.fixture
def random_planes():
    rng = np.random.default_rng(3)
    planes = {f"i{k}.png": {c: rng.random((12, 9)) < p for c, p in zip(CLASSES, (0.5, 0.3, 0.1))} for k in range(6)}
    planes["i0.png"]["b"][:] = False
    planes["i1.png"]["c"] = ~planes["i1.png"]["a"]  # together, and apart
    return planes


def test_overlaps_equal_brute_force(tmp_path, random_planes):
    found = eda(data_set(tmp_path, random_planes))
    assert found.overlaps["iou"].is_monotonic_decreasing
    rows = {(row["first"], row["second"]): row for row in found.overlaps.to_dict("records")}
    assert set(rows) == set(combinations(CLASSES, 2))
    for (first, second), row in rows.items():
        both = [(p[first], p[second]) for p in random_planes.values() if p[first].any() and p[second].any()]
        over = [(x, y) for x, y in both if (x & y).any()]
        assert (row["together"], row["images"]) == (len(both), len(over))
        assert row["iou"] == pytest.approx(np.mean([(x & y).sum() / (x | y).sum() for x, y in over]))
        assert row["first_share"] == pytest.approx(np.mean([(x & y).sum() / x.sum() for x, y in over]))
        assert row["second_share"] == pytest.approx(np.mean([(x & y).sum() / y.sum() for x, y in over]))


def test_areas_shares_and_places_equal_brute_force(tmp_path, random_planes):
    test = data_set(tmp_path, ["blind0.png"], first=6, labelled=False)
    found = eda(data_set(tmp_path, random_planes), test)
    assert found.images["labelled"].tolist() == [True] * 6 + [False]
    places = found.places.set_index(["id", "cls"])
    assert ("i0.png", "b") not in places.index
    for name, row in random_planes.items():
        stack = np.stack(list(row.values()))
        assert found.areas.loc[name].tolist() == [plane.sum() for plane in row.values()]
        assert found.images.at[name, "share"] == pytest.approx(stack.any(axis=0).mean())
        shared = (stack.sum(axis=0) > 1).sum() / stack.any(axis=0).sum()
        assert found.images.at[name, "shared"] == pytest.approx(shared)
        for cls, plane in row.items():
            if plane.any():
                y, x = (np.nonzero(plane) + np.array([[0.5], [0.5]])) / np.array([[12], [9]])
                at = places.loc[(name, cls)]
                wanted = [x.mean(), y.mean(), x.var(), np.mean((x - x.mean()) * (y - y.mean())), y.var()]
                assert np.allclose(at[["x", "y", "xx", "xy", "yy"]].astype(float), wanted)


def test_classes_that_never_meet_have_no_overlap(tmp_path):
    planes = {"i.png": {c: np.zeros((12, 9), bool) for c in CLASSES}}
    planes["i.png"]["a"][0], planes["i.png"]["b"][5] = True, True
    found = eda(data_set(tmp_path, planes))
    assert found.overlaps.empty
    write_eda(tmp_path / "eda.html", found)
    assert "No two classes overlap" in (tmp_path / "eda.html").read_text(encoding="utf-8")


def test_samples_go_from_the_least_to_the_most_labelled(tmp_path, random_planes):
    train = data_set(tmp_path, random_planes)
    found = eda(train, samples=3)
    shares = [found.images.at[sample.id, "share"] for sample in found.samples]
    assert len(shares) == 3
    assert shares == sorted(shares)
    assert len({found.images.at[sample.id, "group"] for sample in found.samples}) == 3
    assert len(eda(train, samples=99).samples) == 6
    assert eda(train, samples=0).samples == ()


def test_groups_are_means_over_their_images(tmp_path, random_planes):
    train = data_set(tmp_path, random_planes)
    sheet = pd.DataFrame(
        {"id": ["ID000", "ID002", "ID777"], "age": [30.0, 50.0, 70.0], "sex": ["F", "M", "F"],
         "weight_kg": [60.0, np.nan, 1.0], "height_cm": [170.0, 180.0, 190.0]}
    )  # fmt: skip
    sheet.attrs["problems"] = ["row 9: odd"]
    dice = pd.DataFrame(0.5, index=list(random_planes), columns=list(CLASSES))
    dice.loc["i1.png"] = 0.9
    found = eda(train, metadata=sheet, tables={"held-out": dice})
    table = by_group(found)
    assert table.index.tolist() == ["ID000", "ID002"]  # ID777 has no image, ID001 no row
    assert table["held-out"].tolist() == pytest.approx([0.7, 0.5])
    wanted = found.images.loc[["i0.png", "i1.png"], "share"].mean()
    assert table.at["ID000", AREA] == pytest.approx(wanted)
    assert found.problems == ("row 9: odd",)
    assert by_group(eda(train)).empty


def test_errors_say_which_image(tmp_path, random_planes):
    random_planes["i2.png"]["b"] = random_planes["i2.png"]["b"].T
    with pytest.raises(ValueError, match=r"i2\.png: expected masks of one size, got \[\(9, 12\), \(12, 9\)\]"):
        eda(data_set(tmp_path, random_planes))
    with pytest.raises(ValueError, match="none of the 6 images has an annotation"):
        eda(data_set(tmp_path, random_planes, labelled=False))


@pytest.mark.skipif("SEGKIT_DATA" not in os.environ, reason="SEGKIT_DATA names no folder with real radiographs")
def test_real_radiographs_of_many_sizes(tmp_path):
    root = Path(os.environ["SEGKIT_DATA"]) / "chest_xray"
    train = Samples.from_folder(root)
    truth = train.truth
    found = eda(train, samples=2)
    name = found.images.index[0]
    planes = {cls: truth[name][cls].mask() for cls in truth.classes}
    assert found.areas.loc[name].tolist() == [plane.sum() for plane in planes.values()]
    lungs = found.places.groupby("cls")["x"].mean()
    assert lungs["right-lung"] < 0.5 < lungs["left-lung"]  # the patient's right is on the image's left
    write_eda(tmp_path / "eda.html", found, title="Chest")
    page = (tmp_path / "eda.html").read_text(encoding="utf-8")
    assert all(cls in page for cls in truth.classes)
