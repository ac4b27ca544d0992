"""Truth of a folder and of a CSV agree; fixes and classes are those asked for."""

import numpy as np
import pytest

from segkit import samples, submission
from segkit.ensemble import vote
from segkit.geometry.polygons import rasterize
from segkit.samples import Fix, Truth

SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]
OTHER = [[7, 7], [20, 7], [20, 30], [7, 30]]
CLASSES = ("one", "two", "three")


@pytest.fixture
def folder(data):
    data.pair("b", [("two", OTHER), ("one", SQUARE), ("one", OTHER)], person="ID002")
    data.pair("a", [("two", [[-5, -5], [3, -5], [3, 3], [-5, 3]])], person="ID003")
    data.image("later.png", person="ID004")
    return data.root


def test_masks_are_the_rings_joined(folder):
    truth = Truth.open(folder, CLASSES)
    assert truth.ids == ("b.png", "a.png")  # by person, then name; without an annotation, no truth
    assert truth.classes == CLASSES
    assert truth.sizes == {"b.png": (40, 30), "a.png": (40, 30)}
    both = rasterize([np.array(SQUARE)], (40, 30)) | rasterize([np.array(OTHER)], (40, 30))
    assert np.array_equal(truth["b.png"]["one"].mask(), both.astype(bool))
    assert truth["b.png"]["one"].area == 64 + 14 * 24 - 9
    assert truth["a.png"]["two"].area == 16
    assert truth["a.png"]["three"].area == 0
    assert truth["a.png"]["three"].shape == (40, 30)


def test_folder_and_csv_agree(folder, tmp_path):
    truth = Truth.open(folder, CLASSES)
    path = submission.write(tmp_path / "truth.csv", [(i, c, truth[i][c]) for i in truth.ids for c in CLASSES])
    again = Truth.open(path)
    assert (again.ids, again.classes) == (truth.ids, truth.classes)
    for image in truth:
        for cls in truth[image]:
            assert truth[image][cls] == again[image][cls]
    assert Truth.open(path, ("three", "one")).classes == ("three", "one")


def test_classes_come_from_classes_txt_else_from_the_labels(folder):
    assert Truth.open(folder).classes == ("one", "two")
    (folder / "classes.txt").write_text("two\n\none\nthree\n")
    assert Truth.open(folder).classes == ("two", "one", "three")
    assert Truth.open(folder / "train").classes == ("two", "one", "three")


def test_what_is_not_there_is_a_key_error(folder):
    truth = Truth.open(folder, CLASSES)
    with pytest.raises(KeyError, match=r"later\.png"):
        truth["later.png"]
    with pytest.raises(KeyError, match=r"four.*b\.png"):
        truth["b.png"]["four"]


def test_fixes_reach_the_masks(folder):
    items = [i for i in samples.index(folder) if i.json]
    plain = Truth.from_items(items, CLASSES)
    swapped = Truth.from_items(items, CLASSES, fixes=[Fix("b", "relabel", {"one": "two", "two": "one"})])
    assert swapped["b.png"]["one"] == plain["b.png"]["two"]
    assert swapped["b.png"]["two"] == plain["b.png"]["one"]
    without = Truth.from_items(items, CLASSES, fixes=[Fix("b", "exclude")])
    assert without.ids == ("a.png",)
    loaded = samples.load(items, CLASSES)
    assert Truth.from_items(items, CLASSES, labels=loaded)["b.png"]["one"] == plain["b.png"]["one"]


def test_an_item_without_annotation_is_named(folder):
    with pytest.raises(ValueError, match=r"1 images have no annotation file: later\.png"):
        Truth.from_items(samples.index(folder), CLASSES)


def test_a_path_that_is_nothing(tmp_path):
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        Truth.open(tmp_path / "none")


def test_a_csv_brings_its_rows_and_its_name(folder, tmp_path):
    truth = Truth.open(folder, CLASSES)
    rows = [(i, c, truth[i][c]) for i in truth.ids for c in CLASSES]
    whole, short = (submission.write(tmp_path / f"{n}.csv", rows[:n]) for n in (6, 5))
    assert list(Truth.open(short).rows) == [(i, c) for i, c, _ in rows[:5]]
    assert list(Truth.open(whole, ["three"]).rows) == [("b.png", "three"), ("a.png", "three")]
    with pytest.raises(ValueError, match=r"submission .*5\.csv lacks 1 rows .*6\.csv has, image a.png, class three"):
        list(vote([Truth.open(short), whole]))
    with pytest.raises(ValueError, match=r"5\.csv lacks 1 rows of .*6\.csv"):
        submission.diff(Truth.open(whole), Truth.open(short))
    with pytest.raises(ValueError, match=r"6\.csv: no class 'thre'; did you mean three"):
        Truth.open(whole, ["one", "thre"])
