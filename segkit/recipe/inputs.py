"""Inputs: the samples of a run, after limit, audit and label fixes; read once, when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.audit import Fix, apply_fixes
from segkit.files import read_json
from segkit.masks import MaskSet
from segkit.recipe.config import Config, flat, replace
from segkit.recipe.recipe import Recipe, Strata
from segkit.samples import Samples

if TYPE_CHECKING:
    import pandas as pd

AUDIT = "audit.json"


@dataclass(frozen=True)
class Inputs:
    """What the stages of a run read of its data.

    Args:
        recipe: The facts.
        config: Its groups `data` and `run`.
        folder: The run folder, which holds audit.json and data that the recipe draws.
        only: Ids of the training images in use; None: all.
    """

    recipe: Recipe
    config: Config
    folder: Path
    only: tuple[str, ...] | None = None

    @cached_property
    def default(self) -> bool:
        """Whether the data is what the recipe brings."""
        return self.config.run.data is None

    @cached_property
    def data(self) -> Path:
        """The data folder: --data, or the recipe's own, made where it is not there yet.

        A folder that other runs made (a blend, a student) uses the data that they were audited with.
        """
        if self.config.run.data is not None:
            return self.config.run.data
        for folder in (self.folder, *map(Path, self.config.run.members)):
            if (folder / AUDIT).is_file():
                seen = Path(read_json(folder / AUDIT)["data"])
                if seen.is_dir() and seen.resolve() != (self.folder / "data").resolve():
                    return seen
        if self.recipe.default_data is None:
            raise ValueError(f"{self.recipe.name} has no data of its own: name a folder with --data DIR")
        return self.recipe.default_data(self.folder / "data", self.config)

    @cached_property
    def everything(self) -> tuple[Samples, Samples]:
        """Training and test samples as the recipe reads them."""
        train, test = self.recipe.samples(self.data)
        for name, samples in (("training", train), ("test", test)):
            if samples.exclusive != self.recipe.exclusive and len(samples):
                said = "exclusive" if samples.exclusive else "overlapping"
                raise ValueError(
                    f"{self.recipe.name}: its {name} samples have {said} classes; expected "
                    f"exclusive={self.recipe.exclusive} as the recipe says"
                )
        image = self.recipe.image
        return train.with_image_spec(image), test.with_image_spec(image)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in channel order."""
        return self.everything[0].classes

    @cached_property
    def train(self) -> Samples:
        """Annotated training samples that can be read, --limit and label fixes applied."""
        if not (self.folder / AUDIT).is_file():
            raise ValueError(f"{self.folder / AUDIT} is not there: run the stage audit first")
        unusable = set(read_json(self.folder / AUDIT)["unusable"])
        samples = self.everything[0]
        kept = samples.subset(i for i in samples.labelled if i not in unusable)
        fixed = apply_fixes(self._limited(kept), self.fixes)
        return fixed if self.only is None else fixed.subset(self.only)

    @cached_property
    def test(self) -> Samples:
        """Test samples, --limit applied."""
        return self._limited(self.everything[1])

    @property
    def test_images(self) -> Samples:
        """The test samples to whom only pixels matter: what is predicted does not depend on their truth."""
        return self.test

    @cached_property
    def test_truth(self) -> MaskSet | None:
        """Truth of the test images, where the data has it."""
        return self.test.truth if self.test.labelled else None

    @cached_property
    def fixes(self) -> tuple[Fix, ...]:
        """The recipe's label fixes, for --data; with --limit those of the images in use."""
        if self.default or not self.config.data.label_fixes:
            return ()
        stems = {Path(i).stem for i in self._limited(self.everything[0]).ids}
        return tuple(fix for fix in self.recipe.fixes if self.config.data.limit is None or fix.image in stems)

    @cached_property
    def groups(self) -> dict[str, str]:
        """{image id: group}, of both splits."""
        return {**self.train.groups, **self.test.groups}

    @cached_property
    def strata(self) -> dict[str, dict[str, str]]:
        """{"pose": {id: value}} of all images with truth: what the samples and what the recipe know."""
        out: dict[str, dict[str, str]] = {}
        for samples in (self.train, self.test):
            known: list[Strata] = [samples.strata]
            if samples.labelled:
                known.append(self.recipe.strata(samples.truth))
            for strata in known:
                for name, values in strata.items():
                    out.setdefault(name, {}).update(values)
        return out

    @cached_property
    def train_strata(self) -> dict[str, dict[str, str]]:
        """Strata of the training images alone."""
        ids = set(self.train.ids)
        return {name: {i: v for i, v in values.items() if i in ids} for name, values in self.strata.items()}

    @cached_property
    def metadata(self) -> pd.DataFrame | None:
        """The sheet of groups, where the data has one."""
        from segkit.report.metadata import read_metadata  # with it come charts, which training has no use for

        sheet = self.data / "meta_data.xlsx"
        return read_metadata(sheet) if sheet.is_file() else None

    def _limited(self, samples: Samples) -> Samples:
        """Whole groups, at least two, until --limit images are reached."""
        limit = self.config.data.limit
        if limit is None:
            return samples
        chosen: list[str] = []
        for group in dict.fromkeys(samples.groups[i] for i in samples.ids):
            if len(chosen) >= limit and len({samples.groups[i] for i in chosen}) > 1:
                break
            chosen += _of_group(samples, group)
        return samples.subset(chosen)


def data_of_members(config: Config) -> dict[str, Any]:
    """Return the settings that a blend takes over from the first of its members, where no --data is given.

    Args:
        config: The blend's own.

    Returns:
        Settings of data and limit; empty where no member is a run folder.
    """
    for member in config.run.members if config.run.data is None else ():
        file = Path(member) / "config.json"
        if file.is_file():
            found = flat(replace(Config(), read_json(file)["settings"], str(file)))
            return {name: found[name] for name in ("data", "limit", "label_fixes")}
    return {}


def _of_group(samples: Samples, group: str) -> Iterable[str]:
    return (i for i in samples.ids if samples.groups[i] == group)
