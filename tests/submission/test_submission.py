"""Submission files: round trips, other orders, dirty cells, and every way of being wrong with its line."""

import csv as csv_module
import re
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segkit import submission
from segkit.masks import as_masks
from segkit.rle import RepairWarning, Runs
from segkit.submission import Difference

HEADER = "image_name,class,rle\n"


def csv(tmp_path, text, name="s.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@settings(max_examples=30, deadline=None)
@given(npst.arrays(bool, (2, 3, 5, 6)))
def test_round_trip(tmp_path_factory, masks):
    path = tmp_path_factory.mktemp("s") / "s.csv"
    ids, classes = ("b.png", "a.png"), ("z", "y", "x")
    rows = [(i, c, Runs.from_mask(masks[n, k])) for n, i in enumerate(ids) for k, c in enumerate(classes)]
    assert submission.write(path, rows) == path
    read = submission.read(path, sizes=dict.fromkeys(ids, (5, 6)))
    assert (read.ids, read.classes) == (ids, classes)
    for image, cls, runs in rows:
        assert read[image][cls] == runs
        assert read[image][cls].shape == (5, 6)
    found = submission.validate(path, ids=ids, classes=classes, sizes=read.sizes)
    assert found == {"rows": 6, "images": 2, "classes": 3, "empty": 6 - int(masks.any(axis=(2, 3)).sum())}
    assert submission.diff(path, path) == []


def test_what_is_written_is_what_competitions_want(tmp_path):
    path = submission.write(tmp_path / "new/s.csv", [("a.png", "x", "1 2"), ("a.png", "y", Runs([]))])
    assert path.read_bytes() == b"image_name,class,rle\na.png,x,1 2\na.png,y,\n"


def test_rows_are_matched_by_name_whatever_their_order(tmp_path):
    one = csv(tmp_path, HEADER + "a,x,1 1\na,y,2 1\nb,x,3 1\nb,y,4 1\n")
    two = csv(tmp_path, "rle,image_name,note,class\n4 1,b,,y\n2 1,a,,y\n3 1,b,,x\n1 1,a,,x\n", "t.csv")
    first, second = submission.read(one), submission.read(two)
    assert second.classes == ("y", "x")
    assert all(first[i][c] == second[i][c] for i in first for c in first[i])
    assert submission.diff(one, two) == []
    with pytest.raises(ValueError, match=r"row 1 is \('b', 'y'\), expected \('a', 'x'\) there"):
        submission.validate(two, like=one)


def test_nan_and_empty_cells_are_empty_masks(tmp_path):
    read = submission.read(csv(tmp_path, HEADER + 'a,x,\na,y,nan\na,z,NaN\na,v,""\na,w, \n'))
    assert [read["a"][c].area for c in read.classes] == [0] * 5
    with pytest.raises(
        ValueError, match="1 problems\nline 6, image a, class w: expected '' for an empty mask, got ' '"
    ):
        submission.validate(tmp_path / "s.csv")
    read_path = csv(tmp_path, HEADER + 'a,x,\na,y,nan\na,z,NaN\na,v,""\n')
    assert submission.validate(read_path)["empty"] == 4
    assert submission.diff(tmp_path / "s.csv", csv(tmp_path, HEADER + "a,x,\na,y,\na,z,\na,v,\n", "t.csv")) == []


def test_other_programs_line_ends_quotes_and_byte_order_mark(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes('\ufeffimage_name, class ,rle\r\n"a.png","x","1 2"\r\n\r\n"b.png","x",""\r\n'.encode())
    read = submission.read(path)
    assert read.ids == ("a.png", "b.png")
    assert read["a.png"]["x"].area == 2


def test_cells_larger_than_the_csv_modules_limit(tmp_path):
    runs = Runs(np.arange(100_000)[:, None] * 4 + [0, 2], (1000, 1000))
    path = submission.write(tmp_path / "s.csv", [("a", "x", runs)])
    assert path.stat().st_size > 131_072
    assert submission.read(path)["a"]["x"] == runs
    assert submission.validate(path, sizes={"a": (1000, 1000)})["rows"] == 1


names = st.text(st.sampled_from('ab ,"\n\r;é#'), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, names, st.integers(0, 3)), min_size=1, unique_by=lambda row: row[:2]))
def test_rows_are_found_again_whatever_is_quoted(tmp_path_factory, rows):
    """Written by the csv module and by us: read back as the same names, in the same order, each with its own mask."""
    folder = tmp_path_factory.mktemp("s")
    cells = [(i, c, f"{n + 1} {length}" if length else "") for n, (i, c, length) in enumerate(rows)]
    ours = submission.write(folder / "ours.csv", cells)
    with (folder / "theirs.csv").open("w", newline="", encoding="utf-8-sig") as handle:
        csv_module.writer(handle, quoting=csv_module.QUOTE_ALL).writerows([submission.COLUMNS, *cells])
    with ours.open(newline="", encoding="utf-8") as handle:
        assert list(csv_module.reader(handle)) == [list(row) for row in [submission.COLUMNS, *cells]]
    for path in (ours, folder / "theirs.csv"):
        read = submission.read(path)
        assert list(read.rows) == [(i, c) for i, c, _ in cells]
        assert [read[i][c].text() for i, c, _ in reversed(cells)] == [text for _, _, text in reversed(cells)]


def test_reading_comparing_and_checking_hold_no_texts_and_serve_threads(tmp_path):
    text = Runs(np.arange(5_000)[:, None] * 4 + [0, 2]).text()  # 40 kB
    keys = [(f"{n}.png", "x") for n in range(80)]
    path = submission.write(tmp_path / "s.csv", ((*key, f"{text} {30_000 + n} 1") for n, key in enumerate(keys)))
    tracemalloc.start()
    read = submission.read(path)
    assert submission.diff(path, path) == []
    assert submission.validate(path)["rows"] == 80
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 2.5e6
    assert peak < 1.2e6
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda key: int(read[key[0]][key[1]].array[-1, 0]), keys))
    assert found == [29_999 + n for n in range(80)]


def test_a_file_that_changed_meanwhile_is_not_read_at_the_wrong_places(tmp_path):
    path = csv(tmp_path, HEADER + "a,x,1 1\na,y,2 1\n")
    read = submission.read(path)
    csv(tmp_path, HEADER + "b,x,1 1111\nb,y,2 1\n")
    with pytest.raises(ValueError, match=r"s\.csv has changed since"):
        read["a"]["y"]


def test_repair_names_file_image_and_class(tmp_path):
    path = csv(tmp_path, HEADER + "a,x,5 2 1 2 9\na,y,1 2\nb,x,8 9\n")
    read = submission.read(path, sizes={"a": (2, 4), "b": (2, 4)}, repair=True)
    with pytest.warns(RepairWarning, match=r"s\.csv, image a, class x: .* dropped a last token .*; sorted runs"):
        assert read["a"]["x"].text() == "1 2 5 2"
    with pytest.warns(RepairWarning, match=r"image b, class x: .* cropped runs that reach out of the image"):
        assert read["b"]["x"].text() == "8 1"
    assert read["a"]["y"].text() == "1 2"  # whole: no warning
    assert submission.read(path, repair=True)["b"]["x"].text() == "8 9"  # of unknown size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected columns image_name, class, rle, got $"),
        ("image_name;class;rle\na;x;1 1\n", "cells are separated by commas, not ';'"),
        (HEADER + 'a,x,"1 1\na,y,\n', "line 2: a quote is opened and never closed"),
        (HEADER + 'a,x",1 1\na,y",\n', "line 3: its quotes are not closed where the cell ends"),
        ((HEADER + "a,x,1 1\na,y,\n").replace("\n", "\r"), "line 1: a carriage return without a line feed"),
        ("image_name,rle\na,1 1\n", r"expected columns image_name, class, rle, got image_name, rle"),
        (HEADER + "a,x\n", "line 2: expected 3 cells, .* got 2"),
        (HEADER + "a,x,1 1,2\n", "line 2: expected 3 cells, .* got 4"),
        (HEADER + "a,x,1 1\na,x,2 1\n", "line 3: image a, class x was there already"),
    ],
)
def test_a_file_that_is_no_submission(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        submission.read(csv(tmp_path, text))
    assert "s.csv" in str(error.value)


def test_bytes_of_another_encoding_are_named(tmp_path):
    (tmp_path / "s.csv").write_bytes((HEADER + "é,x,1 1\n").encode("latin-1"))
    with pytest.raises(ValueError, match=r"s\.csv, line 2: expected UTF-8, byte 1"):
        submission.read(tmp_path / "s.csv")


def test_a_bad_rle_is_told_when_it_is_asked_for_with_image_and_class(tmp_path):
    read = submission.read(csv(tmp_path, HEADER + "a,x,1 b\nb,x,1 1\n"), sizes={"b": (1, 1), "a": (1, 1)})
    assert read["b"]["x"].area == 1
    with pytest.raises(ValueError, match=r"s\.csv, image a, class x: token 2.*'b'"):
        read["a"]["x"]


def test_what_is_not_there_is_a_key_error(tmp_path):
    read = submission.read(csv(tmp_path, HEADER + "a,x,1 1\nb,y,1 1\n"))
    with pytest.raises(KeyError, match="no row for image a, class y"):
        read["a"]["y"]
    with pytest.raises(KeyError, match="no image 'c'"):
        read["c"]
    with pytest.raises(KeyError, match="no class 'z'"):
        read["a"]["z"]
    assert ("a" in read, "c" in read, len(read), list(read)) == (True, False, 2, ["a", "b"])


GOOD = HEADER + "a,x,1 1\na,y,\nb,x,3 2\nb,y,12 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("b,x,3 2\n", ""), "1 problems\nimage b, class x: row is missing"),
        (GOOD + "c,x,\n", "image c, class x: expected no such row"),
        (GOOD + "b,y,\n", "line 6, image b, class y: was on line 5 already"),
        (GOOD.replace("12 1", "12 2"), r"line 5, image b, class y: .*past the 12 pixels of \(3, 4\)"),
        (GOOD.replace("3 2", "3"), "line 4, image b, class x: 1 tokens"),
        (GOOD.replace("3 2", "3 1 4 1"), "line 4, image b, class x: touching runs"),
        (HEADER + "a,y,\na,x,1 1\nb,x,3 2\nb,y,12 1\n", r"row 1 is \('a', 'y'\), expected \('a', 'x'\) there"),
    ],
)
def test_validation_names_line_image_and_class(tmp_path, text, message):
    sizes = dict.fromkeys("abc", (3, 4))
    wanted = {"ids": ["a", "b"], "classes": ["x", "y"], "sizes": sizes}
    good = csv(tmp_path, GOOD)
    assert submission.validate(good, **wanted) == {"rows": 4, "images": 2, "classes": 2, "empty": 1}
    bad = csv(tmp_path, text, "bad.csv")
    with pytest.raises(ValueError, match=message) as error:
        submission.validate(bad, **wanted)
    assert "bad.csv" in str(error.value)
    with pytest.raises(ValueError, match=message):
        submission.validate(bad, like=good, sizes=sizes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            ",image_name,class,rle\n" + "".join(f"{n},{r}\n" for n, r in enumerate(GOOD.split("\n")[1:-1])),
            "pandas' index",
        ),
        (HEADER + "a,y,\na,x,1 1\nb,y,12 1\nb,x,3 2\n", r"classes come as \['y', 'x'\], not \['x', 'y'\]"),
        (HEADER + "b,x,3 2\nb,y,12 1\na,x,1 1\na,y,\n", "there: the rows are re-sorted"),
        (GOOD.replace("a,", "a.png,").replace("b,", "b.png,"), "named as 'a.png', expected names as 'a': the endings"),
    ],
)
def test_validation_says_what_is_the_same_in_every_row_once(tmp_path, text, message):
    with pytest.raises(ValueError, match=f": 1 problems\n.*{message}"):
        submission.validate(csv(tmp_path, text, "bad.csv"), like=csv(tmp_path, GOOD))


def test_a_sample_says_which_columns_are_wanted(tmp_path):
    text = GOOD.replace("\n", ",1\n").replace("rle,1", "rle,Usage")
    assert submission.validate(csv(tmp_path, text), like=csv(tmp_path, text, "like.csv"))["rows"] == 4
    with pytest.raises(ValueError, match=r"expected the columns \['image_name', 'class', 'rle'\], got .*'Usage'\]$"):
        submission.validate(tmp_path / "s.csv")


def test_validation_alone_wants_every_class_of_every_image(tmp_path):
    assert submission.validate(csv(tmp_path, GOOD))["rows"] == 4
    with pytest.raises(ValueError, match="image b, class y: row is missing"):
        submission.validate(csv(tmp_path, GOOD.replace("b,y,12 1\n", "")))


def test_validation_lists_the_first_twenty(tmp_path):
    path = csv(tmp_path, HEADER + "".join(f"i{n},x,1 1 1\n" for n in range(25)))
    with pytest.raises(ValueError, match="25 problems") as error:
        submission.validate(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[-1] == "... and 5 more"


@pytest.mark.parametrize("half", [{"ids": ["a"]}, {"classes": ["x"]}, {"ids": ["a"], "classes": ["x"]}])
def test_a_wish_that_would_be_passed_over_is_an_error(tmp_path, half):
    with pytest.raises(ValueError, match="expected either like, or ids and classes"):
        submission.validate(csv(tmp_path, GOOD), like=tmp_path / "s.csv", **half)


def test_differences_the_least_alike_first(tmp_path):
    other = csv(tmp_path, GOOD.replace("1 1\na,y", "1 3\na,y").replace("12 1", ""), "t.csv")
    found = submission.diff(csv(tmp_path, GOOD), other)
    assert [(d.image, d.cls, d.area_a, d.area_b) for d in found] == [("b", "y", 1, 0), ("a", "x", 1, 3)]
    assert found[1].dice == pytest.approx(2 / 4, abs=1e-4)
    assert isinstance(found[0], Difference)


def test_differences_in_sum(tmp_path):
    other = csv(tmp_path, GOOD.replace("1 1\na,y", "1 3\na,y").replace("12 1", ""), "t.csv")
    first = submission.read(csv(tmp_path, GOOD))
    found = submission.diff(first, other)
    x, y = sorted(submission.summarise(found, first.rows, "class"))
    assert x == ("x", pytest.approx((1 + 2 / 4) / 2, abs=1e-4), 2, 1, 0, 0, 1, 3)
    assert y == ("y", pytest.approx(1 / 2, abs=1e-4), 2, 1, 1, 0, 1, 0)  # b's is in the first alone
    assert [s.name for s in submission.summarise(found, first.rows, "image")] == ["b", "a"]
    back = submission.summarise(submission.diff(other, first), first.rows, "class")[0]
    assert (back.name, back.only_a, back.only_b) == ("y", 0, 1)
    with pytest.raises(ValueError, match="expected by 'image' or 'class'"):
        submission.summarise(found, first.rows, "person")


@pytest.mark.parametrize("extra", ["c,x,1 1\nc,y,\n", "a,z,1 1\nb,z,\n"])
def test_files_of_other_rows_cannot_be_compared(tmp_path, extra):
    short, long = csv(tmp_path, GOOD), csv(tmp_path, GOOD + extra, "t.csv")
    for pair in ((short, long), (long, short), map(submission.read, (short, long))):
        with pytest.raises(ValueError, match=r"cannot be compared: .*s\.csv lacks . rows of .*t\.csv, image"):
            submission.diff(*pair)
    with pytest.raises(
        ValueError, match=r"the second submission lacks 1 rows of the first submission, image a, class x"
    ):
        submission.diff(*map(as_masks, ({"a": {"x": Runs([])}}, {"a": {}})))
    with pytest.raises(ValueError, match="cannot be compared"):
        submission.diff(short, csv(tmp_path, GOOD.replace("b,x,3 2\n", ""), "u.csv"))


def test_a_file_exists_only_when_its_last_row_is_written(tmp_path):
    def rows():
        yield "a", "x", "1 1"
        raise RuntimeError("the disk of the store is gone")

    with pytest.raises(RuntimeError):
        submission.write(tmp_path / "s.csv", rows())
    assert list(tmp_path.iterdir()) == []
    kept = csv(tmp_path, GOOD)
    with pytest.raises(RuntimeError):
        submission.write(kept, rows())
    assert kept.read_text() == GOOD


@pytest.mark.parametrize("mask", [None, float("nan"), np.ones((2, 2)), np.ones(4, bool)])
def test_a_row_that_holds_no_mask_is_named(tmp_path, mask):
    with pytest.raises(ValueError, match="image a, class x: expected"):
        submission.write(tmp_path / "s.csv", [("a", "x", mask)])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("", "it has no row"),
        ("a,x,01 3\n", "line 2, image a, class x: numbers like '01' (they decode, but no encoder writes them)"),
        ("a,x,+1 3\n", "line 2, image a, class x: numbers like '+1' (they decode, but no encoder writes them)"),
        ("a,x,1 3 4 1\n", "line 2, image a, class x: touching runs"),
        ("a,x,9 2\n", "line 2, image a, class x: token 1 of the RLE text: the run '9 2' ends past the 9 pixels"),
    ],
)
def test_what_a_submission_does_not_hold(tmp_path, rows, problem):
    path = tmp_path / "s.csv"
    path.write_text(f"image_name,class,rle\n{rows}")
    with pytest.raises(ValueError, match=re.escape(problem)):
        submission.validate(path, sizes=(3, 3))
