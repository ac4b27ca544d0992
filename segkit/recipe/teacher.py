"""A finished run that labels images for another: who it may teach, what it predicts, its thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segkit import folds as folding
from segkit import pseudo
from segkit.files import digest, read_json
from segkit.geometry import resize
from segkit.metrics import MIN_GROUPS
from segkit.postprocess import Pipeline
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels
from segkit.recipe.config import replace
from segkit.recipe.run import Run
from segkit.recipe.stages import predict
from segkit.recipe.stages.folds import ids_of
from segkit.samples import Samples
from segkit.thresholds import ScoreCurves, per_class


class Teacher:
    """A finished run folder of the same recipe.

    Args:
        student: The run that is taught.
        folder: The teacher's run folder.

    Raises:
        ValueError: Where the folder holds no finished predictions, is the student's own, or has other classes.
    """

    def __init__(self, student: Run, folder: Path) -> None:
        for name in ("config.json", "folds.csv", "oof.zarr"):
            if not (folder / name).exists():
                raise ValueError(
                    f"--teacher {folder}: {name} is not there; expected a run with the stages train and predict"
                )
        if folder.resolve() == student.folder.resolve():
            raise ValueError(f"--teacher {folder}: a run cannot teach itself; name a better one")
        run = Run.open(folder, student.recipe)
        config = replace(run.config, {"accelerator": student.config.machine.accelerator})
        self.folder, self.run = folder, dataclasses.replace(run, config=config)
        self.store = PredictionStore.open(folder / "oof.zarr")
        if self.store.classes != student.inputs.classes:
            raise ValueError(f"--teacher {folder}: its classes are {self.store.classes}, not {student.inputs.classes}")
        self.fold_of, self.groups = folding.read(folder / "folds.csv")

    def oof(self, ids: Sequence[str]) -> PredictionStore:
        """Return its held-out predictions. ValueError where some of these images have none."""
        done = self.store.done
        if lacking := [image for image in ids if image not in done]:
            raise ValueError(
                f"--teacher {self.folder} did not predict {len(lacking)} images that are held out here "
                f"({lacking[0]} ...): train the same folds there"
            )
        return self.store

    def learnt_from(self, fold: int) -> set[str]:
        """Return the groups that the network of a fold learnt from."""
        learnt = {self.groups[image] for image, own in self.fold_of.items() if own != fold}
        if self.run.config.labels.pseudo is not None:
            learnt |= set(Labels(self.run.config.labels.pseudo / f"fold{fold}").learnt_from)
        return learnt

    def networks(self, student: Run, fold: int) -> list[int]:
        """Return its folds whose networks never saw the groups that validate the student's fold.

        Args:
            student: The run that is taught.
            fold: One of its folds.

        Raises:
            ValueError: Where all of them saw some; it names the groups.
        """
        there = [
            f for f in sorted(set(self.fold_of.values())) if (self.folder / f"fold{f}" / "model.safetensors").is_file()
        ]
        if not there:
            raise ValueError(f"--teacher {self.folder}: no fold is trained there")
        held_out = {student.inputs.train.groups[i] for i in ids_of(student, fold, held_out=True)}
        fine = [f for f in there if not held_out & self.learnt_from(f)]
        if not fine:
            closest = min(there, key=lambda f: len(held_out & self.learnt_from(f)))
            try:
                pseudo.guard(held_out, labelled=(), learnt_from=self.learnt_from(closest))
            except ValueError as error:
                raise ValueError(
                    f"--teacher {self.folder}, fold {fold}: {error}. Train it with the --split-seed, --n-folds, "
                    "--stratify and --folds of this run"
                ) from error
        return fine

    def predicted(self, student: Run, folds: list[int]) -> PredictionStore:
        """Predict the student's test images by these networks of the teacher."""
        samples, settings = student.inputs.test_images, self.run.config
        weights = [(self.folder / f"fold{f}" / "model.safetensors").stat() for f in folds]
        made = [str(self.folder.resolve()), folds, [(w.st_size, w.st_mtime_ns) for w in weights],
                dataclasses.asdict(settings.predict), dataclasses.asdict(settings.model), settings.train.crop,
                samples.fingerprint()]  # fmt: skip
        store = test_store(self.run, student.folder / "pseudo" / "teachers" / f"{digest(made)}.zarr", samples)
        predict.fill(self.run, folds, samples, store)
        return store

    def thresholds(self, held_out: set[str]) -> dict[str, float]:
        """Choose the thresholds of its stage tune anew, without the groups held out: they must not help to make labels.

        Args:
            held_out: Groups that validate the student.

        Returns:
            {class: threshold}; .5 where tune kept none, was not run, or saw fewer than MIN_GROUPS other groups.
        """
        plain, post = dict.fromkeys(self.store.classes, 0.5), self.folder / "post.json"
        if not post.is_file() or set(per_class(Pipeline.load(post).thresholds, self.store.classes).values()) == {0.5}:
            return plain
        curves = ScoreCurves.load(self.folder / "curves.npz")
        others = [image for image in curves.ids if self.groups[image] not in held_out]
        if len({self.groups[image] for image in others}) < MIN_GROUPS:
            self.run.say(
                f"  --teacher {self.folder}: its thresholds were chosen on the groups held out here, so that labels "
                "are drawn at .5: train and tune more --folds there to use them",
                markup=False,
            )
            return plain
        return curves.subset(others).best(read_json(self.folder / "tune.json")["shrink"])


def mean_thresholds(thresholds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the threshold of several teachers' mean logits: the mean of their thresholds in logits.

    Args:
        thresholds: {class: threshold} of each teacher.

    Returns:
        {class: threshold}.

    Example:
        >>> mean_thresholds([{"a": 0.2}, {"a": 0.8}])
        {'a': 0.5}
    """
    return {
        cls: round(float(resize.sigmoid(np.mean([resize.logit(one[cls]) for one in thresholds]))), 12)
        for cls in thresholds[0]
    }


def test_store(run: Run, path: Path, samples: Samples) -> PredictionStore:
    """Open the store of the test images at `path`, or begin it."""
    return PredictionStore.open(path) if path.exists() else predict.new_store(run, path, samples)
