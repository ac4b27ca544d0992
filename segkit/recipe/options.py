"""A recipe's settings from the command line, a YAML file and config.json."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from segkit.files import nearest, read_json
from segkit.recipe.config import ASIDE, ORDER, STAGES, Config, Stage, replace


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A plain YAML mapping of settings. ValueError names the file."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a mapping of settings such as 'lr: 0.001' is wanted")
    return content


@dataclass(frozen=True)
class _Arguments:
    stages: tyro.conf.Positional[tuple[Stage, ...]]
    """Which stages to run; none: all."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")]
    """A plain YAML file of settings; the command line overrides it."""
    settings: tyro.conf.OmitArgPrefixes[Config]


def parse(
    name: str, presets: Mapping[str, Mapping[str, Any]], arguments: Sequence[str] | None = None
) -> tuple[list[Stage], Config]:
    """Command line -> (stages in order, config).

    Defaults come from --config FILE, else from the run folder's own config.json when neither --preset nor --config
    is given (so that `run.py tune --out DIR` goes on with what DIR was trained with), else from the preset.
    """
    arguments = _spelt_out(list(sys.argv[1:] if arguments is None else arguments))
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
    preset = known.preset or changes.get("preset", "demo")
    if preset not in presets:
        raise ValueError(f"preset {preset!r}: {nearest(str(preset), presets)}")
    config = replace(Config(), {**presets[preset], "preset": preset}, f"preset {preset}")
    config = _over(config, changes, str(known.config or out / "config.json"))
    config = _over(config, {"model": known.model} if known.model else {}, "--model")
    config = dataclasses.replace(config, preset=preset, out=out)
    parsed = tyro.cli(
        _Arguments,
        prog=f"competitions/{name}/run.py",
        description=f"The {name} line: {' -> '.join(STAGES)}; where they are named: {', '.join(ASIDE)}.",
        default=_Arguments((), Path(known.config) if known.config else None, config),
        args=arguments,
    )
    wanted = set(parsed.stages)
    return [stage for stage in ORDER if stage in wanted] or list(STAGES), parsed.settings


def _over(config: Config, changes: Mapping[str, Any], source: str) -> Config:
    """`replace`, where another model begins without the encoder, weights and options of the one before."""
    if changes.get("model", config.model) != config.model:
        config = dataclasses.replace(config, encoder=None, weights=None, model_options="")
    return replace(config, changes, source)


def _spelt_out(arguments: list[str]) -> list[str]:
    """`ablate losses tta ...` as `ablate --ablations losses tta ...`."""
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    if "ablate" not in words:
        return arguments
    after = words.index("ablate") + 1
    names = list(itertools.takewhile(lambda word: word not in (*STAGES, *ASIDE), words[after:]))
    rest = arguments[:after] + arguments[after + len(names) :]
    return [*rest, "--ablations", *names] if names else arguments
