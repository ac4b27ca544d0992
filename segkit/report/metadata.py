"""The sheet of people that may come with the images: one row a group, cleaned."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

SHEET = "ID"
COLUMNS = {"id": "ID", "age": "나이", "sex": "성별", "weight_kg": "체중(몸무게)", "height_cm": "키(신장)"}
_SEXES = {
    "M": {"m", "male", "man", "남", "남자", "남성"},
    "F": {"f", "female", "woman", "여", "여자", "여성"},
}
_PLAUSIBLE = {"age": (0.0, 120.0), "weight_kg": (1.0, 400.0), "height_cm": (30.0, 260.0)}
_UNITS = r"(?:kg|cm|years?|세|살)?"


def read_metadata(path: str | Path) -> pd.DataFrame:
    """Read the people of a `meta_data.xlsx`, each of whom is a group of images.

    A cell that cannot be read, or a number that nobody has, becomes NaN and is listed in `.attrs["problems"]`, as text
    with row and column. So are notes (a column without a header), and a second row of one id, which is left out. Empty
    cells are NaN and are not listed.

    Args:
        path: The file; its sheet "ID" has the columns `ID, 나이, 성별, 체중(몸무게), 키(신장)`, in any order.

    Returns:
        One row a group, in the sheet's order: id (7 becomes "ID007", other text stays), age (years), sex ("M", "F" or
        NaN), weight_kg and height_cm (float).

    Raises:
        ValueError: Where the file, the sheet or a column is missing.
    """
    rows = _rows(Path(path))
    header = [_text(cell) for cell in rows[0]] if rows else []
    missing = [name for name in COLUMNS.values() if name not in header]
    if missing:
        found = [name for name in header if name]
        raise ValueError(f"{path}, sheet {SHEET!r}: no column {missing}; the first row has {found}")
    at = {field: header.index(name) for field, name in COLUMNS.items()}
    notes = [i for i, name in enumerate(header) if not name or name.startswith("Unnamed")]
    problems: list[str] = []
    groups: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows[1:], start=2):
        if all(_text(cell) == "" for cell in row):
            continue
        group = _group_id(row[at["id"]])
        if group is None or group in groups:
            why = "no ID" if group is None else f"{group} has a row already"
            problems.append(f"row {number}: {why}; the row is left out")
            continue
        groups[group] = {"id": group}
        for field in ("age", "sex", "weight_kg", "height_cm"):
            value, trouble = _read_cell(row[at[field]], field)
            groups[group][field] = value
            if trouble:
                problems.append(f"row {number} ({group}), {COLUMNS[field]}: {trouble}")
        problems += [f"row {number} ({group}): note {_text(row[i])!r}" for i in notes if _text(row[i])]
    frame = pd.DataFrame(list(groups.values()), columns=list(COLUMNS))
    frame = frame.astype(dict.fromkeys(_PLAUSIBLE, float))
    frame.attrs["problems"] = problems
    return frame


def _rows(path: Path) -> list[tuple[Any, ...]]:
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a meta_data.xlsx with the sheet {SHEET!r}")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises zip, XML and key errors of its own for a broken file
        raise ValueError(f"{path} is no readable .xlsx file: {error}") from error
    try:
        if SHEET not in book.sheetnames:
            raise ValueError(f"{path}: expected the sheet {SHEET!r}, got {book.sheetnames}")
        rows = list(book[SHEET].iter_rows(values_only=True))
    finally:
        book.close()
    width = max(map(len, rows), default=0)
    return [tuple(row) + (None,) * (width - len(row)) for row in rows]


def _text(cell: object) -> str:
    """A cell as text, without spaces around it and control characters (the file writes them `_x0008_`)."""
    text = "" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else str(cell)
    text = re.sub(r"_x00[01][0-9A-Fa-f]_", "", text)
    return "".join(c for c in text if c.isprintable()).replace("\xa0", " ").strip()


def _group_id(cell: object) -> str | None:
    text = _text(cell)
    match = re.fullmatch(r"(\d+)(?:\.0)?", text)
    return f"ID{int(match[1]):03d}" if match else text or None


def _read_cell(cell: object, field: str) -> tuple[Any, str]:
    """The value of a cell, and what is wrong with it ("" where nothing is)."""
    text = _text(cell)
    if not text or text.lower() in ("nan", "none", "-"):
        return math.nan, ""
    read: Callable[[str, str], Any] = _sex if field == "sex" else _number
    value = read(text, field)
    return (math.nan, f"{text!r} cannot be read") if value is None else (value, "")


def _sex(text: str, field: str) -> str | None:
    return next((sex for sex, words in _SEXES.items() if text.lower() in words), None)


def _number(text: str, field: str) -> float | None:
    match = re.fullmatch(rf"(\d+(?:[.,]\d+)?)\s*{_UNITS}", text, re.IGNORECASE)
    value = float(match[1].replace(",", ".")) if match else math.nan
    low, high = _PLAUSIBLE[field]
    return value if low <= value <= high else None
