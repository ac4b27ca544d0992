"""Hard votes of submissions, on the runs themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from segkit.masks import MaskSet
from segkit.rle import Runs, at_least
from segkit.submission import read
from segkit.thresholds import per_class

EMPTY = Runs(np.zeros((0, 2), np.int64))


def vote(
    submissions: Sequence[str | Path | MaskSet],
    need: float | None = None,
    weights: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    *,
    missing: str = "error",
    repair: bool = False,
) -> Iterator[tuple[str, str, Runs]]:
    """Rows (image, class, Runs) of a hard vote, in the first submission's order; give them to submission.write.

    One row of each file is in memory at a time, so that neither their number nor their size matters.

    need: the weight a pixel needs, at most the total; default more than half of it. weights: one for each submission,
    default 1, or {class: one for each} with "*" for the others; half is of the class's own total then. Rows are matched
    by (image, class). missing: what a row is that one submission has and another lacks: "error", a ValueError before
    the first row that names submission, image and class, or "empty", an empty mask (rows that the first lacks stay
    out).
    repair: mend RLE of the files that is not whole, as submission.read does.

    >>> one, two = ({"a": {"x": Runs([r])}} for r in ([0, 2], [1, 3]))
    >>> masks = [MaskSet(["a"], ["x"], lambda i, c, s=s: s[i][c]) for s in (one, two)]
    >>> [(i, c, r.text()) for i, c, r in vote(masks)]
    [('a', 'x', '2 1')]
    """
    masks = [m if isinstance(m, MaskSet) else read(m, repair=repair) for m in submissions]
    if not masks:
        raise ValueError("a vote needs at least one submission")
    if missing not in ("error", "empty"):
        raise ValueError(f"missing={missing!r}: error or empty is wanted")
    given = weights if isinstance(weights, Mapping) else {"*": weights}
    shares = {cls: _shares(w, len(masks), cls) for cls, w in per_class(given, masks[0].classes).items()}
    for cls, share in shares.items():
        if need is not None and not 0 < need <= sum(share) * (1 + 1e-9):
            raise ValueError(f"need={need}: more than 0 and at most {sum(share):g}, the weight of all, for class {cls}")
    half = {cls: np.nextafter(sum(w) / 2, np.inf) + 1e-6 * sum(w) for cls, w in shares.items()}
    if missing == "error":
        names = [m.name or f"number {n}" for n, m in enumerate(masks, 1)]
        rows = set(masks[0].rows)
        for name, source in zip(names[1:], masks[1:]):
            theirs = set(source.rows)
            _lacks(name, names[0], rows - theirs)
            _lacks(names[0], name, theirs - rows)
    for image, cls in masks[0].rows:
        votes = []
        for source in masks:
            try:
                votes.append(source[image][cls])
            except KeyError:
                if missing == "error":
                    raise
                votes.append(EMPTY)
        try:
            yield image, cls, at_least(votes, half[cls] if need is None else need, shares[cls])
        except ValueError as error:
            raise ValueError(f"image {image}, class {cls}: {error}") from error


def _lacks(name: str, other: str, rows: set[tuple[str, str]]) -> None:
    if rows:
        image, cls = min(rows)
        some = f"{len(rows)} rows that {other} has, image {image}, class {cls} for one"
        raise ValueError(f"submission {name} lacks {some}; missing='empty' counts what is not there as empty masks")


def _shares(weights: Sequence[float] | None, count: int, cls: str) -> list[float]:
    """`count` weights of a class; equal ones for None."""
    try:
        share = [1.0] * count if weights is None else [float(w) for w in weights]
    except (TypeError, ValueError):
        share = []
    if len(share) != count or not min(share) >= 0 or not 0 < sum(share) < np.inf:
        raise ValueError(f"{count} submissions want as many weights >= 0, not all 0; got {weights} for class {cls}")
    return share
