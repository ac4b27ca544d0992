"""Docstrings of segkit are plain prose, not Markdown: this lets mkdocstrings print them as they are written.

Doctests become code blocks; outside of them, and outside of `code`, characters that Markdown would read are escaped
(store[id][cls] is no link, "*" no emphasis).
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

SPECIAL = re.compile(r"([\\*_\[\]>#])")
DOCTEST = re.compile(r"(?:^|(?<=\n))(>>> (?:.+\n?)+)")


class Prose(Extension):
    """Loaded by mkdocs.yml."""

    def on_object(self, *, obj: Object, loader: Any, **kwargs: Any) -> None:
        """Rewrite the docstring of each object once it is read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring as Markdown that reads the same."""
    parts = DOCTEST.split(text)
    return "".join(_fenced(part) if part.startswith(">>> ") else _escaped(part) for part in parts)


def _fenced(doctest: str) -> str:
    return f"\n```pycon\n{doctest.rstrip()}\n```\n"


def _escaped(prose: str) -> str:
    parts = re.split(r"(`[^`]*`)", prose)
    return "".join(p if p.startswith("`") else SPECIAL.sub(r"\\\1", p).replace("<", "&lt;") for p in parts)
