"""The code of a Markdown page, as a reader would copy it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(line, code) of every fenced block of a language."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start()) + 2, "\n".join(row[len(found[1]) :] for row in found[3].splitlines()))
        for found in FENCE.finditer(text)
        if found[2] == language
    ]


def run(page: Path) -> dict[str, Any]:
    """Run the Python blocks of a page one after another in one namespace; -> the names they leave behind."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, code in blocks(page, "python"):
        try:
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
        except SystemExit as end:  # a script's last line
            if end.code:
                raise ValueError(f"{page}, line {line}: exit code {end.code}") from end
    return names


def commands(page: Path) -> list[list[str]]:
    """Every command line of the shell blocks, as words, comments left out, continued lines joined."""
    rows = [row for _, code in blocks(page, "bash") for row in code.replace("\\\n", " ").splitlines()]
    return [words for row in rows if (words := shlex.split(row, comments=True))]
