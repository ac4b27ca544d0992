"""A recipe's stages and settings from the command line, a YAML file and config.json."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
import yaml

from segkit.files import nearest, read_json
from segkit.recipe.config import Config, flat, replace

StageName = Literal[
    "audit", "folds", "train", "predict", "tune", "submit", "report", "tune-loss", "ablate", "pseudo", "ensemble",
    "views",
]  # fmt: skip
PIPELINE: tuple[StageName, ...] = ("audit", "folds", "train", "predict", "tune", "submit", "report")
"""Stages that run where none is named."""
SIDE_STAGES: tuple[StageName, ...] = ("tune-loss", "ablate", "pseudo", "ensemble", "views")
"""Stages that run only where they are named."""
ORDER: tuple[StageName, ...] = (
    "audit", "folds", "train", "views", "predict", "ensemble", "tune", "submit", "report", "tune-loss", "ablate",
    "pseudo",
)  # fmt: skip
"""As they run where several are named: predict takes the views that were kept, and it is the blend that is tuned."""
BRINGS: dict[StageName, tuple[StageName, ...]] = {"train": ("folds",), "ensemble": ("tune", "submit", "report")}
"""Stages that run with another, whether they are named or not."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a plain YAML mapping of settings.

    Args:
        path: The file.

    Raises:
        ValueError: Where it cannot be read or holds something else; it names the file.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of settings such as 'lr: 0.001'")
    return content


@dataclass(frozen=True)
class _Arguments:
    stages: tyro.conf.Positional[tuple[StageName, ...]]
    """Which stages to run; none: all."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")]
    """A plain YAML file of settings; the command line overrides it."""
    settings: tyro.conf.OmitArgPrefixes[Config]


def parse(
    name: str, presets: Mapping[str, Mapping[str, Any]], arguments: Sequence[str] | None = None
) -> tuple[list[StageName], Config]:
    """Read the command line of a recipe.

    Defaults come from --config FILE, else from the run folder's own config.json when neither --preset nor --config
    is given (so that `run.py tune --out DIR` goes on with what DIR was trained with), else from the preset.

    Args:
        name: The recipe's.
        presets: The recipe's, {name: settings}.
        arguments: The command line; None: that of this process.

    Returns:
        (stages in the order they run, settings).

    Raises:
        ValueError: For unknown settings or values of a wrong type.
    """
    arguments = _ablations_as_option(list(sys.argv[1:] if arguments is None else arguments))
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--preset", "--config", "--out", "--model"):
        early.add_argument(option)
    known, _ = early.parse_known_args(arguments)
    out = Path(known.out) if known.out else Path("runs") / name
    changes: dict[str, Any] = {}
    if known.config:
        changes = read_yaml(known.config)
    elif known.preset is None and (out / "config.json").is_file():
        changes = read_json(out / "config.json")["settings"]
    preset = known.preset or flat(replace(Config(), changes, str(known.config or out / "config.json")))["preset"]
    if preset not in presets:
        raise ValueError(f"preset {preset!r}: {nearest(str(preset), presets)}")
    config = replace(Config(), {**presets[preset], "preset": preset}, f"preset {preset}")
    config = _over(config, changes, str(known.config or out / "config.json"))
    config = _over(config, {"model": known.model} if known.model else {}, "--model")
    config = replace(config, {"preset": preset, "out": out})
    parsed = tyro.cli(
        _Arguments,
        prog=f"competitions/{name}/run.py",
        description=f"Recipe {name}: {' -> '.join(PIPELINE)}; where they are named: {', '.join(SIDE_STAGES)}.",
        default=_Arguments((), Path(known.config) if known.config else None, config),
        args=arguments,
    )
    asked = {*parsed.stages, *(more for stage in parsed.stages for more in BRINGS.get(stage, ()))}
    return [stage for stage in ORDER if stage in asked] or list(PIPELINE), parsed.settings


def _over(config: Config, changes: Mapping[str, Any], source: str) -> Config:
    """`replace`, where another model begins without the encoder, weights and options of the one before."""
    changed = replace(config, changes, source)
    if changed.model.model == config.model.model:
        return changed
    plain = dataclasses.replace(config.model, encoder=None, weights=None, model_options="")
    return replace(dataclasses.replace(config, model=plain), changes, source)


def _ablations_as_option(arguments: list[str]) -> list[str]:
    """`ablate losses tta ...` as `ablate --ablations losses tta ...`."""
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    if "ablate" not in words:
        return arguments
    after = words.index("ablate") + 1
    names = list(itertools.takewhile(lambda word: word not in ORDER, words[after:]))
    rest = arguments[:after] + arguments[after + len(names) :]
    return [*rest, "--ablations", *names] if names else arguments
