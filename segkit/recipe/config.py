"""All settings of a recipe in one frozen Config: nested in Python, nested or flat in presets, YAML and flags."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from segkit.files import nearest
from segkit.recipe.settings import (
    AblateSettings,
    DataSettings,
    LabelSettings,
    MachineSettings,
    ModelSettings,
    PredictSettings,
    PseudoSettings,
    ReportSettings,
    RunSettings,
    TrainSettings,
    TuneLossSettings,
    TuneSettings,
)


@dataclass(frozen=True)
class Config:
    """All groups. Field names are unique over all of them, so flags, presets and YAML may be flat."""

    run: RunSettings = field(default_factory=RunSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    pseudo: PseudoSettings = field(default_factory=PseudoSettings)
    ablate: AblateSettings = field(default_factory=AblateSettings)
    tune_loss: TuneLossSettings = field(default_factory=TuneLossSettings)


KEYLESS = ("run", "machine")
"""Groups that enter no key."""
GROUPS = tuple(group.name for group in dataclasses.fields(Config))
Numbers = int | float | dict[str, int | float | None] | None
"""What `read_numbers` gives: one number, one a class, or none."""
_TYPES = typing.get_type_hints(Config)
FIELDS: dict[str, str] = {
    setting.name: group for group in GROUPS for setting in dataclasses.fields(_TYPES[group])
}  # name of a setting -> its group


def replace(config: Config, changes: Mapping[str, Any], source: str = "settings") -> Config:
    """Change settings of a config.

    Args:
        config: What is changed; it stays as it is.
        changes: {setting: value}, or {group: {setting: value}}, or both mixed.
        source: Where the changes come from, for errors: a file, an option.

    Returns:
        Another config.

    Raises:
        ValueError: For an unknown name, with its neighbours, or a value of a wrong type.

    Example:
        >>> replace(Config(), {"lr": 3e-4}).train.lr
        0.0003
        >>> replace(Config(), {"train": {"lr": 3e-4}, "size": 64}).model.resolution
        (64, 64)
        >>> replace(Config(), {"batchsize": 4})
        Traceback (most recent call last):
        ValueError: settings: no setting 'batchsize'; did you mean batch_size ...
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        if name in GROUPS and isinstance(value, Mapping):
            for inner, setting in value.items():
                if FIELDS.get(inner) != name:
                    known = [key for key, group in FIELDS.items() if group == name]
                    raise ValueError(f"{source}: {name} has no setting {inner!r}; {nearest(str(inner), known)}")
                found.setdefault(name, {})[inner] = setting
        elif name in FIELDS:
            found.setdefault(FIELDS[name], {})[name] = value
        else:
            raise ValueError(f"{source}: no setting {name!r}; {nearest(str(name), FIELDS)}")
    groups = {
        group: dataclasses.replace(getattr(config, group), **{k: _as_type(k, v, source) for k, v in settings.items()})
        for group, settings in found.items()
    }
    return dataclasses.replace(config, **groups)


def flat(config: Config) -> dict[str, Any]:
    """{setting: value} of all groups, in their order."""
    return {name: getattr(getattr(config, group), name) for name, group in FIELDS.items()}


def _as_type(name: str, value: object, source: str) -> object:
    """A value of YAML, JSON or Python as the type of its setting."""
    kind = typing.get_type_hints(_TYPES[FIELDS[name]])[name]
    text = kind in (str, str | None)
    if text and value is not None and not isinstance(value, str):  # a mapping or number that is kept as YAML
        value = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("\n...")
    elif typing.get_origin(kind) is tuple and isinstance(value, str | int | float):
        value = (value,)
    flags = [one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, bool)]
    try:
        if bool(flags) != (kind is bool):
            raise ValueError
        return TypeAdapter(kind).validate_python(value)
    except (ValidationError, ValueError):
        shown = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "").replace("pathlib.", "")
        raise ValueError(f"{source}: {name} is {value!r}, expected {shown}") from None


def read_numbers(option: str, text: str | None) -> Numbers:
    """Read a number, or one for each class, from YAML text.

    Args:
        option: The option's name, for errors.
        text: YAML, or None.

    Returns:
        A number, {name: number}, or None.

    Raises:
        ValueError: For anything else; it names the option.

    Example:
        >>> read_numbers("--pseudo-cap", "{rare: 20, '*': null}")
        {'rare': 20, '*': None}
    """
    try:
        found = None if text in (None, "None") else yaml.safe_load(text)
    except yaml.YAMLError:
        found = text
    for value in found.values() if isinstance(found, dict) else [found]:
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise ValueError(f"{option} {text!r}: expected a number, or a mapping such as \"{{rare: 2, '*': 1}}\"")
    return found
