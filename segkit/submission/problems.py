"""What is wrong with a file: the first problems in words, the others counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from pathlib import Path

from segkit.files import nfc
from segkit.images import without_suffix

MOST_PROBLEMS = 20


class Problems:
    """A growing list that holds no more than its first 20 entries.

    Args:
        path: The file that is checked.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.count, self.first = path, 0, list[str]()

    def add(self, problem: str) -> None:
        """Note a problem.

        Args:
            problem: Where it is, and what.
        """
        self.count += 1
        if len(self.first) < MOST_PROBLEMS:
            self.first.append(problem)

    def add_many(self, count: int, problems: Iterable[str]) -> None:
        """Note problems of which only the first are put into words.

        Args:
            count: How many there are.
            problems: Their words, made one by one.
        """
        self.count += count
        self.first += islice(problems, min(count, MOST_PROBLEMS - len(self.first)))

    def raise_any(self) -> None:
        """ValueError of the problems, where there are any."""
        if self.count:
            more = f"\n... and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
            raise ValueError(f"{self.path}: {self.count} problems\n" + "\n".join(self.first) + more)


def told(key: Sequence[str]) -> str:
    """A row's key in words.

    Args:
        key: Its cells: (image, class), or (image,).

    Returns:
        "image ..., class ...".
    """
    return f"image {key[0]}" if len(key) == 1 else f"image {key[0]}, class {key[1]}"


def compare_rows(found: Problems, rows: Collection[tuple[str, ...]], expected: Sequence[tuple[str, ...]]) -> None:
    """Note the rows that are missing, in excess or in another order.

    Args:
        found: Where to note them.
        rows: The keys there are, in order, each once; a dict or a set is fast.
        expected: The keys that should be there, in order.
    """
    asked = set(expected)
    have = rows if isinstance(rows, (dict, set)) else set(rows)
    missing = sum(key not in have for key in asked)
    excess = sum(key not in asked for key in have)
    if not missing and not excess:
        _compare_order(found, list(rows), list(dict.fromkeys(expected)))
        return
    first = next(iter(rows), None)
    if first is not None and missing == len(asked):
        plain, plain_asked = ({without_suffix(nfc(key[0])) for key in keys} for keys in (have, asked))
        if plain == plain_asked:
            how = f"images are named as {first[0]!r}, expected names as {expected[0][0]!r}"
            found.add(f"{how}: the endings or the Unicode forms differ")
            return
    found.add_many(missing, (f"{told(key)}: row is missing" for key in dict.fromkeys(expected) if key not in have))
    found.add_many(excess, (f"{told(key)}: expected no such row" for key in rows if key not in asked))


def _compare_order(found: Problems, rows: list[tuple[str, ...]], expected: list[tuple[str, ...]]) -> None:
    """One problem where the same rows come in another order."""
    if rows == expected:
        return
    place = next(k for k, (got, asked) in enumerate(zip(rows, expected)) if got != asked)
    what = "the rows are re-sorted"
    if len(rows[0]) == 2:
        classes, asked = (list(dict.fromkeys(key[1] for key in keys)) for keys in (rows, expected))
        if classes != asked:
            what = f"the classes come as {classes}, not {asked}"
    found.add(f"row {place + 1} is {rows[place]}, expected {expected[place]} there: {what}")
