"""Hard votes of submissions, on the runs themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit.masks import MaskSet
from segkit.rle import Runs, at_least
from segkit.submission import DEFAULT, Format
from segkit.submission.rows import SizesLike
from segkit.thresholds import per_class

EMPTY = Runs(np.zeros((0, 2), np.int64))


def vote(
    submissions: Sequence[str | Path | MaskSet],
    need: float | None = None,
    weights: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    *,
    missing: str = "error",
    repair: bool = False,
    format: Format = DEFAULT,
    sizes: SizesLike = None,
) -> Iterator[tuple[str, str, Runs]]:
    """A hard vote; one row of each file is in memory at a time, so that neither their number nor their size matters.

    Args:
        submissions: Files, or masks; rows are matched by (image, class).
        need: The weight a pixel needs, at most the total; default more than half of it.
        weights: One for each submission, default 1, or {class: one for each} with "*" for the others; half is of the
            class's own total then.
        missing: What a row is that one submission has and another lacks: "error", a ValueError before the first row
            that names submission, image and class, or "empty", an empty mask (rows that the first lacks stay out).
        repair: Repair broken RLE of the files, as SubmissionFormat.read does.
        format: Of the files.
        sizes: Of the images, for formats that need them.

    Yields:
        (image, class, Runs) in the first submission's order; give them to the format's write.

    Raises:
        ValueError: For no submission, weights or a need that do not fit, and rows that are missing.

    Example:
        >>> one, two = ({"a": {"x": Runs([r])}} for r in ([0, 2], [1, 3]))
        >>> masks = [MaskSet(["a"], ["x"], lambda i, c, s=s: s[i][c]) for s in (one, two)]
        >>> [(i, c, r.text()) for i, c, r in vote(masks)]
        [('a', 'x', '2 1')]
    """
    options: dict[str, Any] = {"repair": True} if repair else {}
    masks = [m if isinstance(m, MaskSet) else format.read(m, sizes, **options) for m in submissions]
    if not masks:
        raise ValueError("a vote needs at least one submission")
    if missing not in ("error", "empty"):
        raise ValueError(f"expected missing 'error' or 'empty', got {missing!r}")
    given = weights if isinstance(weights, Mapping) else {"*": weights}
    shares = {cls: _shares(w, len(masks), cls) for cls, w in per_class(given, masks[0].classes).items()}
    for cls, share in shares.items():
        if need is not None and not 0 < need <= sum(share) * (1 + 1e-9):
            most = f"at most {sum(share):g}, the weight of all, for class {cls}"
            raise ValueError(f"expected a need of more than 0 and {most}, got need={need}")
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
        raise ValueError(f"expected {count} weights >= 0, one a submission, not all 0, got {weights} for class {cls}")
    return share
