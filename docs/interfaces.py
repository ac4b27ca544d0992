"""Write docs/interfaces.md, the list of public names, from `__all__` and docstrings: `python docs/interfaces.py`."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import segkit

PAGE = Path(__file__).with_name("interfaces.md")
HEAD = """# Interfaces

The public names of each module, from its `__all__`: what users, recipes and tests rely on. This page is written by
`python docs/interfaces.py`, and a test compares it with the code; the API pages have every parameter.
"""
ORDER = (
    "files", "rle", "geometry", "masks", "images", "samples", "audit", "folds", "metrics", "predictions", "submission",
    "thresholds", "postprocess", "ensemble", "selection", "studies", "pseudo", "report", "losses", "models", "tta",
    "averaging", "cam", "optim", "data", "training", "inference", "recipe", "cli",
)  # fmt: skip


def page() -> str:
    """Return the page as the code has it."""
    parts = [HEAD]
    for name in sorted(segkit.__all__, key=lambda one: ORDER.index(one) if one in ORDER else len(ORDER)):
        module = importlib.import_module(f"segkit.{name}")
        parts.append(f"\n## segkit.{name}\n\n{_first_line(module)}\n\n| name | what it does |\n|---|---|\n")
        parts += [f"| `{_signature(one, getattr(module, one))}` | {_first_line(getattr(module, one))} |\n"
                  for one in public(module)]  # fmt: skip
    return "".join(parts)


def public(module: Any) -> list[str]:
    """Return the public names of a module: its __all__, or what it defines itself."""
    own = [
        n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__
    ]
    return sorted(getattr(module, "__all__", own), key=str.lower)


def _signature(name: str, value: Any) -> str:
    """A name with its parameters, without annotations and defaults."""
    if not callable(value):
        return name
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return name
    words, star = [], False
    for one in parameters:
        if one.kind is one.VAR_POSITIONAL:
            star = True
        if one.kind is one.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        mark = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        words.append(f"{mark}{one.name}" + ("=" if one.default is not one.empty else ""))
    return f"{name}({', '.join(words)})"


def _first_line(value: Any) -> str:
    """The first line of a docstring, as a cell of a table."""
    if not (inspect.ismodule(value) or callable(value)):
        return "a constant"
    line = (inspect.getdoc(value) or "").partition("\n")[0]
    return line.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
