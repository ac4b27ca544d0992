"""Rows of a CSV and their places: the csv module is the slow twin, whatever is quoted and however lines end."""

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segkit.rle.tables import Table, by_image, plain_text

CELLS = st.text(st.sampled_from('ab1 ,"\n\ré'), max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS)),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.booleans(),
)
def test_rows_and_rows_again_are_those_of_the_csv_module(tmp_path_factory, rows, end, quoting, encoding, last_end):
    assume(quoting == csv.QUOTE_ALL or "\r" not in str.join("", sum(rows, ())))  # the module does not quote it
    path = tmp_path_factory.mktemp("t") / "t.csv"
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator=end, quoting=quoting).writerows([("x", "y", "z"), *rows])
    text = made.getvalue() if last_end else made.getvalue().removesuffix(end)
    path.write_bytes(text.encode(encoding))
    table = Table(path, ("z", "x"))
    assert (table.header, table.at) == (["x", "y", "z"], [2, 0])
    found = list(table.rows())
    assert [row.cells for row in found] == [list(row) for row in rows]
    for row in reversed(found):
        assert table.cells(row.place) == row.cells
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.reader(handle)
        lines = [reader.line_num for _ in reader][1:]
    if "\r" not in text.replace("\r\n", ""):  # which the csv module counts as a line's end inside quotes
        assert [row.line for row in found] == lines


def test_blank_lines_are_passed_over_and_counted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n\n1,2\n\n\n3,4")
    assert [(row.line, row.place, row.cells) for row in Table(path, ("a",)).rows()] == [
        (3, (5, 4), ["1", "2"]),
        (6, (11, 3), ["3", "4"]),
    ]


def test_a_row_of_another_length_names_line_and_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n1,2,\n")
    rows = Table(path, ("a", "b")).rows()
    assert next(rows).cells == ["1", "2"]
    with pytest.raises(ValueError, match=r"t\.csv, line 3: expected 2 cells, as in its first line \('a', 'b'\), got 3"):
        next(rows)


def test_a_file_that_was_replaced_since(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    table = Table(path, ("a",))
    (row,) = table.rows()
    (tmp_path / "new").write_text("a,b\n1,2\n")
    (tmp_path / "new").replace(path)
    for again in (lambda: table.cells(row.place), lambda: list(table.rows())):
        with pytest.raises(ValueError, match=r"t\.csv has changed since"):
            again()


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd here")
def test_a_pipe_cannot_be_read_twice():
    read, write = os.pipe()
    os.write(write, b"a\n")
    os.close(write)
    with pytest.raises(ValueError, match="no regular file"):
        Table(f"/dev/fd/{read}", ("a",))
    os.close(read)


def test_nan_is_an_empty_mask_and_nothing_else_is():
    assert [plain_text(cell) for cell in ("nan", " NaN ", "", "nano", " 1 2 ")] == ["", "", "", "nano", "1 2"]


def persons_of(folder, text):
    (folder / "p.csv").write_text(text)
    return by_image(folder / "p.csv", ["person"])


def test_cells_of_each_image(tmp_path):
    assert persons_of(tmp_path, "fold,id,person\n0,a,p 1\n1,b, q\n0,a,p 1\n") == {"a": ["p 1"], "b": ["q"]}
    assert persons_of(tmp_path, "image_name,person\na,p\n") == {"a": ["p"]}
    assert by_image(tmp_path / "p.csv", None) == {"a": ["p"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,person\na,\n", r"p.csv, line 2, image a: person is blank"),
        ("id,person\na,p\n ,q\n", r"p.csv, line 3, image \(none\): id is blank"),
        ("id,person\na,p\nb\n", r"p.csv, line 3: expected 2 cells, .* got 1"),
        ("id,person\na,p\na,q\n", r"p.csv, line 3, image a: q, but p further up"),
        ("id,who\na,p\n", r"p.csv: expected columns id \(or image_name\) and person, got \['id', 'who'\]"),
        ("", r"p.csv: expected columns id \(or image_name\) and person, got"),
    ],
)
def test_a_file_of_persons_that_is_not_whole(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        persons_of(tmp_path, text)
