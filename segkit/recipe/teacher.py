"""A finished run that labels images for another: who it may teach, what it predicts, where it cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segkit import folds as folding
from segkit import pseudo
from segkit.files import digest, read_json
from segkit.geometry import resize
from segkit.images import image_size
from segkit.metrics import MIN_GROUPS
from segkit.postprocess import Pipeline
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels
from segkit.recipe import predict
from segkit.recipe.config import Config, replace
from segkit.recipe.line import Line
from segkit.thresholds import ScoreCurves, per_class


class Teacher:
    """A finished run folder of the same recipe."""

    def __init__(self, line: Line, folder: Path) -> None:
        for name in ("config.json", "folds.csv", "oof.zarr"):
            if not (folder / name).exists():
                raise ValueError(
                    f"--teacher {folder}: {name} is not there; a run with the stages train and predict is wanted"
                )
        if folder.resolve() == line.folder.path.resolve():
            raise ValueError(f"--teacher {folder}: a run cannot teach itself; name a better one")
        settings = read_json(folder / "config.json")["settings"]
        config = replace(Config(), settings, str(folder / "config.json"))
        config = replace(config, {"out": folder, "accelerator": line.config.accelerator})
        self.folder, self.line = folder, Line(line.recipe, config)
        self.line.__dict__.update(classes=line.classes, cache=line.cache)
        self.store = PredictionStore.open(folder / "oof.zarr")
        if self.store.classes != line.classes:
            raise ValueError(f"--teacher {folder}: its classes are {self.store.classes}, not {line.classes}")
        self.fold_of, self.persons = folding.read(folder / "folds.csv")

    def oof(self, ids: Sequence[str]) -> PredictionStore:
        """Its held-out predictions. ValueError where some of these images have none."""
        done = self.store.done
        if lacking := [image for image in ids if image not in done]:
            raise ValueError(
                f"--teacher {self.folder} did not predict {len(lacking)} images that are held out here "
                f"({lacking[0]} ...): train the same folds there"
            )
        return self.store

    def learnt_from(self, fold: int) -> set[str]:
        """The persons that the network of a fold learnt from."""
        learnt = {self.persons[image] for image, own in self.fold_of.items() if own != fold}
        if self.line.config.pseudo is not None:
            learnt |= set(Labels(self.line.config.pseudo / f"fold{fold}").learnt_from)
        return learnt

    def networks(self, line: Line, fold: int) -> list[int]:
        """Its folds whose networks never saw the persons who validate the student's fold. ValueError names those
        that all of them saw."""
        there = [
            f for f in sorted(set(self.fold_of.values())) if (self.folder / f"fold{f}" / "model.safetensors").is_file()
        ]
        if not there:
            raise ValueError(f"--teacher {self.folder}: no fold is trained there")
        held_out = {item.person for item in line.items_of(fold, held_out=True)}
        fine = [f for f in there if not held_out & self.learnt_from(f)]
        if not fine:
            closest = min(there, key=lambda f: len(held_out & self.learnt_from(f)))
            try:
                pseudo.guard(held_out, labelled=(), learnt_from=self.learnt_from(closest))
            except ValueError as error:
                raise ValueError(
                    f"--teacher {self.folder}, fold {fold}: {error}. Train it with the --seed, --n-folds, "
                    "--stratify and --folds of this run"
                ) from error
        return fine

    def predicted(self, line: Line, folds: list[int]) -> PredictionStore:
        """The test images by these networks."""
        weights = [(self.folder / f"fold{f}" / "model.safetensors").stat() for f in folds]
        config = self.line.config
        made = [str(self.folder.resolve()), folds, [(w.st_size, w.st_mtime_ns) for w in weights], predict.looks(config),
                config.size, config.crop, config.overlap, [item.id for item in line.test_items]]  # fmt: skip
        store = test_store(line, line.folder / "pseudo" / "teachers" / f"{digest(made)}.zarr", config.size)
        predict.fill(self.line, folds, line.test_items, store)
        return store

    def thresholds(self, held_out: set[str]) -> dict[str, float]:
        """What its stage tune kept, chosen anew without the persons held out: they must not help to make labels.

        .5 where tune kept none, was not run, or saw fewer than six other persons.
        """
        plain, post = dict.fromkeys(self.store.classes, 0.5), self.folder / "post.json"
        if not post.is_file() or set(per_class(Pipeline.load(post).thresholds, self.store.classes).values()) == {0.5}:
            return plain
        curves = ScoreCurves.load(self.folder / "curves.npz")
        others = [image for image in curves.ids if self.persons[image] not in held_out]
        if len({self.persons[image] for image in others}) < MIN_GROUPS:
            self.line.say(
                f"  --teacher {self.folder}: its thresholds were chosen on the persons held out here, so that labels "
                "are cut at .5: train and tune more --folds there to use them"
            )
            return plain
        return curves.subset(others).best(read_json(self.folder / "tune.json")["shrink"])


def mean_thresholds(thresholds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Where the mean of several teachers' logits is cut: the mean of their thresholds in logits.

    >>> mean_thresholds([{"a": 0.2}, {"a": 0.8}])
    {'a': 0.5}
    """
    return {
        cls: round(float(resize.sigmoid(np.mean([resize.logit(one[cls]) for one in thresholds]))), 12)
        for cls in thresholds[0]
    }


def test_store(line: Line, path: Path, size: int) -> PredictionStore:
    """The store of the test images at `path`, begun where it is not there yet."""
    if path.exists():
        return PredictionStore.open(path)
    items = line.test_items
    sizes = {item.id: image_size(item.image) for item in items}
    return PredictionStore.create(path, ids=list(sizes), classes=line.classes, sizes=sizes, grid=(size, size))
