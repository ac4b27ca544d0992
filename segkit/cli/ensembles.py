"""Several predictions into one: votes of submissions, means of stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from segkit.cli.shared import format_of, shape_of, sizes_of


def vote(
    submissions: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    need: float | None = None,
    weights: tuple[float, ...] = (),
    class_weights: Path | None = None,
    missing: Literal["error", "empty"] = "error",
    repair: bool = False,
    format: str | None = None,
    like: Path | None = None,
    size: tuple[int, int] | None = None,
    sizes: Path | None = None,
) -> int:
    """Hard vote of submissions, in the first one's order.

    Args:
        submissions: Files of one format, matched by image and class.
        out: The file to write, in that format.
        need: Weight that a pixel needs; default: more than half.
        weights: One for each submission; default 1 each.
        class_weights: JSON file {"CLASS": [one for each submission], "*": [...]}, in place of weights.
        missing: What a row is that a submission lacks: an error, or an empty mask.
        repair: Repair broken RLE, and say on stderr what was done to which row; without, it is an error.
        format: A competition's name, settings such as "columns=id,rle_mask", or a sample submission; default: that of
            --like, or image_name,class,rle.
        like: A sample submission that says the format.
        size: Height and width of every image; only formats of one row an object need them.
        sizes: CSV with the columns image_name (or id), height and width instead.
    """
    from segkit.ensemble import vote as count
    from segkit.submission import SubmissionFormat

    form, known = format_of(format, like), sizes_of(size, sizes)
    if isinstance(form, SubmissionFormat) and known is None and not form.objects:
        form = form.without_order()  # votes are the same along the text
    share = _share(weights, class_weights)
    rows = count(submissions, need, share, missing=missing, repair=repair, format=form, sizes=known)
    print(form.write(out, rows))
    return 0


def blend(
    stores: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    weights: tuple[float, ...] = (),
    class_weights: Path | None = None,
) -> int:
    """The weighted mean of prediction stores' logits, as a new store; one that was begun goes on where it stopped.

    Args:
        stores: PredictionStores (.zarr) of the same classes and images.
        out: The store to write.
        weights: One for each store; default: equal.
        class_weights: JSON file {"CLASS": [one for each store], "*": [...]}, in place of weights.
    """
    from segkit.ensemble import blend as mean
    from segkit.predictions import PredictionStore

    blended = mean([PredictionStore.open(path) for path in stores], _share(weights, class_weights), out=out)
    print(f"{blended.path}: {shape_of(blended)}")
    return 0


def _share(weights: tuple[float, ...], class_weights: Path | None) -> Sequence[float] | dict[str, list[float]] | None:
    """The weights that were asked for, None for equal ones."""
    from segkit.files import read_json

    if weights and class_weights is not None:
        raise ValueError("--weights and --class-weights both say what weighs how much; give one")
    if class_weights is None:
        return weights or None
    found = read_json(class_weights)
    if not isinstance(found, dict):
        raise ValueError(f'{class_weights}: expected {{"CLASS": [numbers], "*": [numbers]}}, got {found!r}')
    for cls, numbers in found.items():
        listed = isinstance(numbers, list) and all(type(number) in (int, float) for number in numbers)
        if not listed:
            raise ValueError(f"{class_weights}, class {cls}: expected a list of numbers, got {numbers!r}")
    return found
