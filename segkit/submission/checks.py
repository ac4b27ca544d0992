"""Is a written submission whole?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from segkit.rle import Runs
from segkit.rle.tables import COLUMNS, Row, Table, plain_text

MOST_PROBLEMS = 20


def validate(
    path: str | Path,
    *,
    ids: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    sizes: tuple[int, int] | Mapping[str, tuple[int, int]] | None = None,
    like: str | Path | None = None,
) -> dict[str, int]:
    """Check a written submission, row by row; -> {"rows", "images", "classes", "empty"}.

    ids and classes: what is wanted, in order (rows are image by image, the classes of each in order); like: a sample
    submission that gives the wanted rows and columns instead; without either, every image must have every class.
    sizes: (H, W) of every image or {id: (H, W)}, runs must end inside.
    ValueError lists every problem (the first 20) with line, image and class.
    """
    if (ids is None) != (classes is None) or (like is not None and ids is not None):
        raise ValueError("either ids and classes together, or like, say which rows are wanted")
    wanted, columns = None, list(COLUMNS)
    if like is not None:
        sample = Table(like)
        wanted, columns = [_key(sample, row) for row in sample.rows()], sample.header
    elif ids is not None and classes is not None:
        wanted = [(image, cls) for image in ids for cls in classes]
    table = Table(path)
    problems = _columns(table.header, columns)
    seen: dict[tuple[str, str], int] = {}
    empty = 0
    for row in table.rows():
        image, cls = key = _key(table, row)
        text = plain_text(row.cells[table.at[2]])
        where = f"line {row.line}, image {image}, class {cls}"
        if key in seen:
            problems.append(f"{where}: was on line {seen[key]} already")
        seen.setdefault(key, row.line)
        empty += not text
        size = sizes.get(image) if isinstance(sizes, Mapping) else sizes
        if sizes is not None and size is None:
            problems.append(f"{where}: no size (height, width) is known for this image")
        try:
            again = Runs.from_text(text, size).text()
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        if again != " ".join(text.split()):
            odd = next((token for token in text.split() if token != str(int(token))), None)
            what = "touching runs" if odd is None else f"numbers like {odd!r}"
            problems.append(f"{where}: {what} (they decode, but no encoder writes them)")
    if not seen and not wanted:
        problems.append("it has no row")
    if wanted is not None:
        problems += _compare_rows(list(seen), wanted)
    else:
        images, names = {i: None for i, _ in seen}, {c: None for _, c in seen}
        problems += [f"image {i}, class {c}: row is missing" for i in images for c in names if (i, c) not in seen]
    if problems:
        more = f"\n... and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise ValueError(f"{path}: {len(problems)} problems\n" + "\n".join(problems[:MOST_PROBLEMS]) + more)
    return {
        "rows": len(seen),
        "images": len({i for i, _ in seen}),
        "classes": len({c for _, c in seen}),
        "empty": empty,
    }


def _key(table: Table, row: Row) -> tuple[str, str]:
    return row.cells[table.at[0]], row.cells[table.at[1]]


def _columns(header: list[str], wanted: list[str]) -> list[str]:
    if header == wanted:
        return []
    index = any(not name or name.startswith("Unnamed: ") for name in header)
    hint = "; a column without a name is pandas' index: write with to_csv(..., index=False)" if index else ""
    return [f"the columns are {header}, {wanted} are wanted{hint}"]


def _compare_rows(rows: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> list[str]:
    have, want = set(rows), set(wanted)
    images, asked_images = ({image for image, _ in pairs} for pairs in (have, want))
    if not images & asked_images and {Path(i).stem for i in images} == {Path(i).stem for i in asked_images}:
        return [f"images are named as {rows[0][0]!r}, {wanted[0][0]!r} is wanted: the endings differ"]
    problems = [f"image {i}, class {c}: row is missing" for i, c in wanted if (i, c) not in have]
    problems += [f"image {i}, class {c}: row is not wanted" for i, c in rows if (i, c) not in want]
    if problems or rows == wanted:
        return problems
    place = next(k for k, (got, asked) in enumerate(zip(rows, wanted)) if got != asked)
    classes, asked_classes = (list(dict.fromkeys(c for _, c in pairs)) for pairs in (rows, wanted))
    same = classes == asked_classes
    what = "the rows are re-sorted" if same else f"the classes come as {classes}, not {asked_classes}"
    return [f"row {place + 1} is {rows[place]}, {wanted[place]} is wanted there: {what}"]
