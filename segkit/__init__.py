"""segkit: modular tricks for image-segmentation competitions.

Parts are imported one by one (`from segkit import rle`, `import segkit.losses`); `import segkit` itself loads
neither torch nor pandas, and modules are loaded when they are first used.
"""

import importlib
from typing import Any

__version__ = "0.2.0"

__all__ = [
    "audit", "averaging", "cam", "cli", "data", "ensemble", "files", "folds", "geometry", "images", "inference",
    "losses", "masks", "metrics", "models", "optim", "postprocess", "predictions", "pseudo", "recipe", "report", "rle",
    "samples", "selection", "studies", "submission", "thresholds", "training", "tta",
]  # fmt: skip


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module)
    if name in __all__:
        return importlib.import_module(f"segkit.{name}")
    raise AttributeError(f"segkit has no part {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
