"""How a config says which test-time views are taken and merged."""

from __future__ import annotations

from typing import Any

from segkit.recipe.config import read_numbers
from segkit.recipe.settings import PredictSettings


def views_of(settings: PredictSettings) -> dict[str, Any]:
    """Read --views, --tta-merge and --tta-weights as predict() takes them.

    Args:
        settings: The config's group `predict`.

    Returns:
        Arguments of segkit.inference.predict.

    Raises:
        ValueError: For views or weights that cannot be read.
    """
    from segkit.tta import as_views

    weights = read_numbers("--tta-weights", settings.tta_weights or "{}")
    if not isinstance(weights, dict):
        raise ValueError(f"--tta-weights {settings.tta_weights!r}: expected a mapping such as '{{hflip: 2}}'")
    try:
        merge: str | float = float(settings.tta_merge)
    except ValueError:
        merge = settings.tta_merge
    as_views(settings.views)
    return {"views": settings.views, "merge": merge, "weights": weights or None}
