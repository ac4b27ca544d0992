"""segkit on the command line: what can be asked of files alone, without torch.

A command is a function of a module here, listed in COMMANDS; heavy imports are inside it, so that all start at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import tyro

from segkit.cli.convert import import_, rle
from segkit.cli.data import audit, eda
from segkit.cli.ensembles import blend, vote
from segkit.cli.networks import models
from segkit.cli.scores import compare, score
from segkit.cli.study import study
from segkit.cli.submissions import diff, flags, submit, validate

__all__ = [
    "audit", "blend", "compare", "diff", "eda", "flags", "import_", "main", "models", "rle", "score",
    "study", "submit", "validate", "vote",
]  # fmt: skip

COMMANDS: dict[str, Any] = {
    command.__name__.rstrip("_"): command
    for command in (audit, eda, score, compare, vote, blend, study, submit, import_, validate, diff, flags, rle, models)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; bad input ends in one readable line and exit code 2."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
            code = int(
                tyro.extras.subcommand_cli_from_dict(
                    COMMANDS, prog="segkit", description="The last mile of segmentation competitions.", args=arguments
                )
            )
            sys.stdout.flush()
            return code
    except BrokenPipeError:  # of `segkit score ... | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except (ValueError, KeyError, OSError) as error:
        print(f"error: {error.args[0] if isinstance(error, KeyError) and error.args else error}", file=sys.stderr)
        return 2
