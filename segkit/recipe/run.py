"""Run: a recipe, its settings and its folder, frozen. Stages read artifacts through it and change nothing of it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from segkit.files import read_json, write_json
from segkit.recipe.config import GROUPS, KEYLESS, Config, flat, replace
from segkit.recipe.inputs import Inputs
from segkit.recipe.recipe import Recipe
from segkit.recipe.stage import Stage, require
from segkit.recipe.stamps import Stamps

LIBRARIES = (
    "segkit", "numpy", "opencv-python-headless", "torch", "albumentations", "segmentation-models-pytorch", "timm",
    "optuna", "zarr", "rlemasklib",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run of a recipe.

    Args:
        folder: The run folder.
        recipe: The facts.
        config: The settings.
        inputs: The samples; a derived run shares those of the run that it comes from.
        parents: Run folders whose finished stages count where their keys are the same.
        scope: The stage at work, which may read what it declares and nothing else; None: no limit.
        quiet: Whether say() stays silent.
        unscoped: The run that scoped() was asked of.
        read: What the stage at work reads besides, by name (`Stage.reads`).
    """

    folder: Path
    recipe: Recipe
    config: Config
    inputs: Inputs
    parents: tuple[Path, ...] = ()
    scope: Stage | None = None
    quiet: bool = False
    unscoped: Run | None = field(default=None, repr=False, compare=False)
    read: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, recipe: Recipe, config: Config) -> Run:
        """Return the run of a recipe in the folder that the config names, or in runs/NAME."""
        folder = config.run.out or Path("runs") / recipe.name
        return cls(folder, recipe, config, Inputs(recipe, config, folder))

    @classmethod
    def open(cls, folder: str | Path, recipe: Recipe) -> Run:
        """Return the run of a finished folder under its own settings.

        Args:
            folder: A run folder.
            recipe: The recipe that made it.

        Raises:
            ValueError: Where the folder holds no config.json.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder} is no run folder: it has no config.json")
        settings = read_json(folder / "config.json")["settings"]
        return cls.begin(recipe, replace(Config(), {**settings, "out": folder}, str(folder / "config.json")))

    def with_settings(self, changes: Mapping[str, Any]) -> Run:
        """Return this run under other settings, in the same folder."""
        config = replace(self.config, changes)
        return dataclasses.replace(self, config=config, inputs=Inputs(self.recipe, config, self.folder))

    def derive(
        self, changes: Mapping[str, Any], folder: Path, *, only: tuple[str, ...] | None = None, quiet: bool = False
    ) -> Run:
        """Return a run under other settings in a folder of its own, on the same data.

        Args:
            changes: Settings; those of the groups `run` and `data` keep the samples as they are.
            folder: Its run folder.
            only: Training images that it uses; None: all of this run.
            quiet: Whether it prints nothing.

        Returns:
            Another run, which takes over finished stages of this one whose keys are the same.
        """
        whole = self.unscoped or self
        inputs = whole.inputs if only is None else dataclasses.replace(whole.inputs, only=only)
        config = replace(whole.config, {**changes, "out": folder})
        parents = (self.folder, *self.parents)
        return Run(folder, whole.recipe, config, inputs, parents, quiet=quiet or self.quiet)

    def scoped(self, stage: Stage) -> Run:
        """Return this run as one stage sees it: what neither it nor a stage that it needs declares cannot be read."""
        stages = [stage, *stage.all_needed(self)]

        def limited(value: object, name: str, open_to_all: tuple[str, ...]) -> Any:  # noqa: ANN401 (any of three)
            declared = {one for part in stages for one in getattr(part, name)}
            return _Scope(value, {*open_to_all, *declared}, f"stage {stage.name}: {name}")

        return dataclasses.replace(
            self,
            config=limited(self.config, "groups", KEYLESS),
            recipe=limited(self.recipe, "facts", ("name", "notes")),
            inputs=limited(self.inputs, "inputs", ("data", "default", "classes")),
            scope=stage,
            unscoped=self,
            read=stage.reads(self),
        )

    @cached_property
    def stamps(self) -> Stamps:
        """Which stages are done in this folder."""
        return Stamps(self.folder)

    @property
    def folders(self) -> Iterator[Stamps]:
        """Where finished stages may lie: in this folder, then in those of the runs it derives from."""
        yield self.stamps
        yield from (Stamps(parent) for parent in self.parents)

    @property
    def cache(self) -> Path:
        """Where images at the network resolution are kept."""
        return (self.parents[-1] if self.parents else self.folder) / "cache"

    def file(self, name: str) -> Path:
        """Return an artifact of a stage that the stage at work needs.

        Args:
            name: A file or folder that some stage makes, such as "oof.zarr".

        Raises:
            ValueError: Where the stage that makes it is not done; it says which to run.
            LookupError: Where the stage at work does not declare that it needs it.
        """
        assert self.scope is not None
        for stage in self.scope.all_needed(self):
            if name in stage.makes:
                return require(stage, self) / name
        raise LookupError(f"stage {self.scope.name} reads {name}, but needs no stage that makes it")

    def say(self, text: str, *, markup: bool = True) -> None:
        """Print a line, or a table, of the run's log."""
        if not self.quiet:
            Console(highlight=False, soft_wrap=True).print(text, markup=markup)

    def write_config(self) -> None:
        """Write config.json: every setting and the versions of the libraries that make this folder."""
        versions = {"python": platform.python_version()}
        for name in LIBRARIES:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        settings = {group: dataclasses.asdict(getattr(self.config, group)) for group in GROUPS}
        content = {"recipe": self.recipe.name, "settings": settings, "versions": versions}
        write_json(self.folder / "config.json", content)

    @property
    def settings(self) -> dict[str, Any]:
        """{setting: value}, flat, for tables and summaries."""
        return flat(self.config)


class _Scope:
    """Lets some attributes through and names all others as undeclared."""

    def __init__(self, value: object, allowed: set[str], what: str) -> None:
        self._value, self._allowed, self._what = value, allowed, what

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever it stands for)
        if name.startswith("_") or name in self._allowed:
            return getattr(self._value, name)
        raise LookupError(f"{self._what}.{name} is not declared by the stage, nor by one that it needs")
