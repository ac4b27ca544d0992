"""The confusion matrix as the page shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def confusion_section(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Turn pixels into shares of each true class.

    Args:
        table: Pixels, true class x predicted class, as metrics.confusion gives them; None where classes may overlap.

    Returns:
        head (predicted classes), and rows: name, pixels, cells of share (NaN without pixels), strength (0 to 1, of the
        colour) and right (on the diagonal); None without a table.
    """
    if table is None or not len(table):
        return None
    pixels = table.sum(axis=1)
    shares = table.div(pixels.where(pixels > 0), axis=0)
    rows = []
    for name in table.index:
        cells = [
            {"share": float(share), "strength": 0.0 if np.isnan(share) else float(share) ** 0.5, "right": name == cls}
            for cls, share in shares.loc[name].items()
        ]
        rows.append({"name": str(name), "pixels": int(pixels[name]), "cells": cells})
    return {"head": [str(cls) for cls in table.columns], "rows": rows}
