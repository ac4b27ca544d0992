"""Several predictions into one: votes of submissions, means of stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from segkit.cli.shared import shape_of


def vote(
    submissions: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    need: float | None = None,
    weights: tuple[float, ...] = (),
    class_weights: Path | None = None,
    missing: Literal["error", "empty"] = "error",
) -> int:
    """Hard vote of submissions, in the first one's order.

    Args:
        submissions: CSVs, matched by (image_name, class).
        out: The CSV to write.
        need: Weight that a pixel needs; default: more than half.
        weights: One for each submission; default 1 each.
        class_weights: JSON file {"CLASS": [one for each submission], "*": [...]}, in place of weights.
        missing: What a row is that a submission lacks: an error, or an empty mask.
    """
    from segkit import submission
    from segkit.ensemble import vote as count
    from segkit.files import read_json

    if weights and class_weights is not None:
        raise ValueError("--weights and --class-weights both weigh the submissions; give one")
    share = read_json(class_weights) if class_weights is not None else weights or None
    print(submission.write(out, count(submissions, need, share, missing=missing)))
    return 0


def blend(
    stores: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    weights: tuple[float, ...] = (),
) -> int:
    """The weighted mean of prediction stores' logits, as a new store.

    Args:
        stores: PredictionStores (.zarr) of the same classes and images.
        out: The store to write.
        weights: One for each store; default: equal.
    """
    from segkit.ensemble import blend as mean
    from segkit.predictions import PredictionStore

    blended = mean([PredictionStore.open(path) for path in stores], weights or None, out=out)
    print(f"{blended.path}: {shape_of(blended)}")
    return 0
