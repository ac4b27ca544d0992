import openpyxl
import pandas as pd
import pytest

from segkit.report import read_metadata

HEADER = ["ID", "나이", "성별", "체중(몸무게)", "키(신장)", None]


def workbook(path, rows, *, header=HEADER, sheet="ID"):
    book = openpyxl.Workbook()
    page = book.active
    page.title = sheet
    for row in [header, *rows]:
        page.append(row)
    book.save(path)
    return path


def test_clean_rows_in_the_sheets_order(tmp_path):
    found = read_metadata(workbook(tmp_path / "m.xlsx", [[2, 31, "남", 70.5, 172], [1, 28, "여", 55, 163.5]]))
    assert found.columns.tolist() == ["id", "age", "sex", "weight_kg", "height_cm"]
    assert found.to_numpy().tolist() == [["ID002", 31, "M", 70.5, 172], ["ID001", 28, "F", 55, 163.5]]
    assert found.attrs["problems"] == []


@pytest.mark.parametrize(
    ("cell", "sex"),
    [
        ("남", "M"),
        (" 남", "M"),
        ("_x0008_남", "M"),
        ("_x0008_ 여 ", "F"),
        ("female", "F"),
        ("M", "M"),
        ("\xa0여자", "F"),
    ],
)
def test_dirty_sex_cells(tmp_path, cell, sex):
    found = read_metadata(workbook(tmp_path / "m.xlsx", [[1, 30, cell, 60, 170, None]]))
    assert found["sex"].tolist() == [sex]


@pytest.mark.parametrize(
    ("cell", "value"), [("72kg", 72.0), (" 72.5 ", 72.5), ("72,5", 72.5), (72, 72.0), ("72 KG", 72.0)]
)
def test_numbers_with_units_and_spaces(tmp_path, cell, value):
    found = read_metadata(workbook(tmp_path / "m.xlsx", [[1, 30, "M", cell, 170]]))
    assert found["weight_kg"].tolist() == [value]


def test_ids_are_numbers_or_names(tmp_path):
    rows = [[7, 1, "M", 60, 170], ["ID058", 1, "M", 60, 170], ["12", 1, "M", 60, 170], [551.0, 1, "M", 60, 170]]
    assert read_metadata(workbook(tmp_path / "m.xlsx", rows))["id"].tolist() == ["ID007", "ID058", "ID012", "ID551"]


def test_what_cannot_be_read_is_nan_and_told(tmp_path):
    rows = [
        [1, "thirty", "?", 60, 1.75],
        [None, 30, "M", 60, 170],
        [1, 30, "M", 60, 170],
        [None, None, None, None, None],
        [2, 30, "F", None, 170, "left hand broken"],
    ]
    found = read_metadata(workbook(tmp_path / "m.xlsx", rows))
    assert found["id"].tolist() == ["ID001", "ID002"]
    assert pd.isna(found.loc[0, ["age", "sex", "height_cm"]]).all()
    assert pd.isna(found.loc[1, "weight_kg"])
    problems = found.attrs["problems"]
    assert len(problems) == 6  # age, sex, height (in metres), no ID, second row, note; the empty cell is no problem
    for part in ("row 2 (ID001), 나이: 'thirty'", "성별: '?'", "키(신장): '1.75'", "row 3: no ID", "row 4: ID001 has"):
        assert any(part in line for line in problems), part
    assert any("left hand broken" in line for line in problems)


def test_columns_in_another_order(tmp_path):
    path = workbook(tmp_path / "m.xlsx", [["x", "F", 1]], header=["나이", "성별", "ID"])
    with pytest.raises(ValueError, match=r"체중"):
        read_metadata(path)
    path = workbook(
        tmp_path / "n.xlsx", [[170, 3, "F", 60, 41]], header=["키(신장)", "ID", "성별", "체중(몸무게)", "나이"]
    )
    assert read_metadata(path).to_numpy().tolist() == [["ID003", 41, "F", 60, 170]]


def test_missing_file_sheet_and_broken_file_are_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_metadata(tmp_path / "none.xlsx")
    with pytest.raises(ValueError, match="'Sheet1'"):
        read_metadata(workbook(tmp_path / "m.xlsx", [], sheet="Sheet1"))
    (tmp_path / "b.xlsx").write_text("no zip")
    with pytest.raises(ValueError, match=r"b\.xlsx is no readable"):
        read_metadata(tmp_path / "b.xlsx")
