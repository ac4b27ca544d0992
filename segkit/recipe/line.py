"""A recipe is facts; the line turns them into a submission and a report, stage by stage, through files."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from segkit import folds as folding
from segkit.audit import UNUSABLE, Fix, Problem, Rule
from segkit.files import read_json, write_json
from segkit.geometry import Polygons
from segkit.masks import MaskSet
from segkit.recipe.config import Config
from segkit.recipe.folder import RunFolder
from segkit.recipe.options import parse
from segkit.samples import Annotation, Item, Samples, Truth, index, load
from segkit.samples.classes import read_classes
from segkit.samples.layout import Rings


def _no_strata(truth: MaskSet) -> Mapping[str, Mapping[str, str]]:
    return {}


@dataclass(frozen=True)
class Recipe:
    """What one competition knows, and others do not.

    name: also of the run folder. classes: in channel order, or "classes.txt" to read them from the data. presets:
    {"demo": {field: value}, ...} over Config's defaults. default_data(folder, config) -> data folder: draws or
    finds the data where no --data is given; None asks for it. rules: of the audit. fixes: of the labels, for --data.
    class_swaps: pairs of classes that a mirror flip exchanges. multipart: classes of several parts, which no
    post-processing may reduce to one. strata(truth) -> {"pose": {id: value}}: groups to balance and to report.
    """

    name: str
    presets: Mapping[str, Mapping[str, Any]]
    classes: Sequence[str] = ()
    default_data: Callable[[Path, Config], Path] | None = None
    rules: Sequence[Rule] = ()
    fixes: Sequence[Fix] = ()
    class_swaps: Sequence[tuple[str, str]] = ()
    multipart: Sequence[str] = ()
    strata: Callable[[MaskSet], Mapping[str, Mapping[str, str]]] = field(default=_no_strata)


class Line:
    """One run: the recipe, its settings and its folder, and what the stages share (read once, when asked for)."""

    def __init__(self, recipe: Recipe, config: Config) -> None:
        self.recipe, self.config = recipe, config
        self.folder = RunFolder(config.out or Path("runs") / recipe.name)
        self.console = Console(highlight=False, soft_wrap=True)

    @cached_property
    def cache(self) -> Path:
        """Where images at the grid's size are kept."""
        return self.folder / "cache"

    def say(self, text: str) -> None:
        self.console.print(text)

    @cached_property
    def data(self) -> Path:
        """The data folder: --data, or the embedded default, made where it is not there yet.

        A folder that other runs made (a blend of them, a student) uses the default's data that they were audited with.
        """
        if self.config.data is not None:
            return self.config.data
        if (self.folder / "audit.json").is_file():
            seen = Path(self.audited["data"])
            if seen.is_dir() and seen.resolve() != (self.folder / "data").resolve():
                return seen
        if self.recipe.default_data is None:
            raise ValueError(f"{self.recipe.name} has no data of its own: name a folder with --data DIR")
        return self.recipe.default_data(self.folder / "data", self.config)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        if self.recipe.classes:
            return tuple(self.recipe.classes)
        return read_classes(self.data / "classes.txt")

    @property
    def audited(self) -> dict[str, Any]:
        """What audit.json holds: data, problems, and under "train" a hash of all that training sees."""
        file = self.folder / "audit.json"
        if not file.is_file():
            raise ValueError(f"{file} is not there: run the stage audit first")
        return dict(read_json(file))

    @cached_property
    def problems(self) -> list[Problem]:
        """What the audit found."""
        return [Problem(*row) for row in self.audited["problems"]]

    @cached_property
    def train_items(self) -> list[Item]:
        """Annotated images that can be read, as many as --limit says."""
        broken = {problem.image for problem in self.problems if problem.kind in UNUSABLE}
        return self._limited([item for item in index(self.data) if item.json and item.id not in broken])

    @cached_property
    def test_items(self) -> list[Item]:
        return self._limited(index(self.data, "test"))

    def _limited(self, items: list[Item]) -> list[Item]:
        """Whole persons, at least two, until --limit images are reached."""
        if self.config.limit is None:
            return items
        chosen: list[Item] = []
        for person in dict.fromkeys(item.person for item in items):
            if len(chosen) >= self.config.limit and len({item.person for item in chosen}) > 1:
                break
            chosen += [item for item in items if item.person == person]
        return chosen

    @cached_property
    def labels(self) -> dict[str, Rings]:
        return load(self.train_items, self.classes, self.fixes)

    @cached_property
    def fixes(self) -> tuple[Fix, ...]:
        """The recipe's label fixes, for --data; with --limit those of the images in use."""
        if self.config.data is None or not self.config.label_fixes:
            return ()
        stems = {Path(item.id).stem for item in self.train_items}
        everything = self.config.limit is None
        return tuple(fix for fix in self.recipe.fixes if everything or fix.image in stems)

    @cached_property
    def truth(self) -> Truth:
        """Truth of the training images, at each image's own size."""
        return Truth.from_items(self.train_items, self.classes, labels=self.labels)

    @cached_property
    def test_truth(self) -> Truth | None:
        """Truth of the test images, where the data has a test_truth.csv."""
        file = self.data / "test_truth.csv"
        return Truth.open(file, self.classes) if file.is_file() else None

    @cached_property
    def samples(self) -> Samples:
        """The training images with the labels after fixes."""
        samples = Samples.from_folder(self.data, "train", self.classes)
        labels = {image: {cls: Polygons(rings) for cls, rings in row.items()} for image, row in self.labels.items()}
        fixed = samples.with_annotations({image: Annotation(row) for image, row in labels.items()})
        return fixed.subset(labels)

    @cached_property
    def test_samples(self) -> Samples:
        """The test images."""
        return Samples.from_folder(self.data, "test", self.classes).subset(item.id for item in self.test_items)

    def samples_of(self, fold: int, *, held_out: bool) -> Samples:
        """The samples of a fold, or all others."""
        return self.samples.subset(item.id for item in self.items_of(fold, held_out=held_out))

    @cached_property
    def persons(self) -> dict[str, str]:
        """{image id: person}, of both splits."""
        return {item.id: item.person for item in [*self.train_items, *self.test_items]}

    @cached_property
    def strata(self) -> dict[str, dict[str, str]]:
        """{"pose": {id: value}} of all images with truth."""
        out: dict[str, dict[str, str]] = {}
        for truth in (self.truth, self.test_truth):
            for name, values in (self.recipe.strata(truth) if truth else {}).items():
                out.setdefault(name, {}).update(values)
        return out

    @cached_property
    def fold_of(self) -> dict[str, int]:
        """{image id: fold}; made by the stage train, read by all later ones."""
        file = self.folder / "folds.csv"
        if file.is_file():
            return folding.read(file)[0]
        raise ValueError(f"{file} is not there: run the stage train first")

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds of --folds; of few persons (--limit) those that there are."""
        last = max(self.fold_of.values())
        there = tuple(fold for fold in self.config.folds if 0 <= fold <= last)
        if (there != self.config.folds and self.config.limit is None) or not there:
            raise ValueError(f"--folds {' '.join(map(str, self.config.folds))}: there are folds 0 to {last}")
        return there

    @cached_property
    def metadata(self) -> pd.DataFrame | None:
        """The sheet of persons, where the data has one."""
        from segkit.report.metadata import read_metadata

        sheet = self.data / "meta_data.xlsx"
        return read_metadata(sheet) if sheet.is_file() else None

    def items_of(self, fold: int, *, held_out: bool) -> list[Item]:
        """The items of a fold, or all others."""
        return [i for i in self.train_items if i.id in self.labels and (self.fold_of[i.id] == fold) == held_out]

    def write_config(self) -> None:
        """config.json: every setting, the seeds and the versions that made this folder."""
        names = ("numpy", "opencv-python-headless", "torch", "albumentations", "segmentation-models-pytorch", "timm")
        versions = {"python": platform.python_version()}
        for name in ("segkit", *names, "optuna", "zarr", "rlemasklib"):
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        settings = dataclasses.asdict(self.config)
        write_json(
            self.folder / "config.json", {"recipe": self.recipe.name, "settings": settings, "versions": versions}
        )


def main(recipe: Recipe, arguments: Sequence[str] | None = None) -> int:
    """The command line of a recipe's run.py; -> exit code. Bad input ends in one readable line, not in a traceback."""
    try:
        stages, config = parse(recipe.name, recipe.presets, arguments)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and stages != ["train"]:
            raise ValueError("torchrun is for the stage train alone: run audit before it, and the others after it")
        line = Line(recipe, config)
        importlib.import_module("segkit.recipe.train").refuse_other_settings(line.folder.path, config)
        line.write_config()
        for stage in stages:
            line.say(f"[bold]{stage}[/bold]")
            module = f"segkit.recipe.{stage.replace('-', '_')}"
            importlib.import_module(module).run(line)  # none pays for what another imports
    except (ValueError, KeyError, FileNotFoundError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"error: {message}", file=sys.stderr)
        return 2
    for name in ("submission.csv", "summary.json", "report.html"):
        if (line.folder / name).is_file():
            line.say(f"{name:15} {(line.folder / name).resolve()}")
    return 0
