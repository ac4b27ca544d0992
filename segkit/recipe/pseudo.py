"""Stage pseudo: the run again with the labels that a better run gives the test images, where that surely helps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from segkit import folds as folding
from segkit import pseudo
from segkit.annotations import image_size
from segkit.ensemble import BlendSpace
from segkit.files import digest, read_json, write_json
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels, Selection, Taught
from segkit.recipe import predict, train, variant
from segkit.recipe.config import Config, replace
from segkit.recipe.line import Line

CHOSEN_BY = ("pseudo_kind", "pseudo_confidence", "pseudo_agreement", "pseudo_ignore", "pseudo_cap")


class Source(NamedTuple):
    """What labels the test images for one fold of the student."""

    stores: list[PredictionStore]
    learnt_from: set[str]
    """The persons that these networks learnt from."""


Sources = Callable[[int], Source]
"""fold -> its Source, predicted when asked for."""


def run(line: Line) -> None:
    """Refuse a teacher that is not surely better; else select, train, compare, and write pseudo.json.

    The student of a fold learns only from networks that never saw the persons who validate it. pseudo/ holds the
    teachers' predictions, the labels and a whole run folder for each round: what was done is not done again.
    """
    config = line.config
    if config.pseudo is not None:
        raise ValueError(f"this run learns from {config.pseudo} already: the stage pseudo wants the plain student")
    if not config.teacher:
        raise ValueError("name the run folders that are to label the test images: --teacher RUN [RUN ...]")
    if not line.folder.key("predict.oof"):
        raise ValueError(
            f"{line.folder / 'oof.zarr'} is not there: run the stages audit, train and predict first; the teacher must "
            "be better than this run is without it"
        )
    if config.pseudo_agreement is not None and len(config.teacher) == 1:
        raise ValueError("--pseudo-agreement: one teacher agrees with nobody; name several, or leave it out")
    teachers = [_Teacher(line, Path(folder)) for folder in config.teacher]
    for fold in line.folds:
        held_out = {item.person for item in line.items_of(fold, held_out=True)}
        pseudo.guard(held_out, labelled={item.person for item in line.test_items}, learnt_from=())
    allowed = {fold: [teacher.networks(line, fold) for teacher in teachers] for fold in line.folds}
    plain = PredictionStore.open(line.folder / "oof.zarr")
    ids = [image for image in plain.ids if image in line.truth]

    def of_teachers(fold: int) -> Source:
        stores = [teacher.predicted(line, folds) for teacher, folds in zip(teachers, allowed[fold], strict=True)]
        seen = [
            teacher.learnt_from(one) for teacher, folds in zip(teachers, allowed[fold], strict=True) for one in folds
        ]
        return Source(stores, set().union(*seen))

    said: list[dict[str, Any]] = []

    def teach(sources: Sources, number: int) -> Taught | None:
        given = {fold: sources(fold) for fold in line.folds}
        chosen = {fold: _selected(line, fold, source) for fold, source in given.items()}
        if number > 1 and not all(selection.ids for selection in chosen.values()):
            return None
        labels = _labels(line, given, chosen)
        selected = [{str(k): v for k, v in row.items()} for row in chosen[line.folds[0]].summary.to_dict("records")]
        student = _student(line, labels, number)
        train.train_folds(student)
        store = predict.filled(student, "oof")[0]
        said.append({"folder": str(student.folder.path), "labels": str(labels), "selected": selected})
        return Taught(_of_student(student, given), _table(line, [store], ids))

    ahead = Taught(of_teachers, _table(line, [teacher.oof(ids) for teacher in teachers], ids))
    found = pseudo.rounds(teach, ahead, _table(line, [plain], ids), line.persons, most=config.pseudo_rounds)
    rounds = [
        {**one, "lead": done.lead._asdict(), "gain": done.gain._asdict(), "kept": done.kept}
        for one, done in zip(said, found.rounds, strict=True)
    ]
    kept = next((one["folder"] for one in reversed(rounds) if one["kept"]), None)
    result = {"teacher": list(config.teacher), "share": config.pseudo_share, "rounds": rounds, "kept": kept}
    write_json(line.folder / "pseudo.json", result)
    for number, one in enumerate(rounds):
        write_json(Path(one["folder"]) / "pseudo.json", {**result, "rounds": rounds[: number + 1]})
    _show(line, read_json(line.folder / "pseudo.json"))


def with_pseudo(line: Line, fold: int, data: Any) -> Any:
    """The fold's SegmentationData joined by its pseudo-labels. ValueError, with names, where held-out persons helped to
    make them."""
    from segkit.data import mirrored_channels
    from segkit.pseudo_data import Joined, PseudoData

    config = line.config
    assert config.pseudo is not None
    labels = Labels(config.pseudo / f"fold{fold}")
    held_out = {item.person for item in line.items_of(fold, held_out=True)}
    pseudo.guard(held_out, labelled=labels.labelled, learnt_from=labels.learnt_from)
    extra = PseudoData(
        line.test_items,
        labels,
        size=data.size,
        augment=data.augment,
        seed=config.seed,
        cache=line.cache,
        in_channels=config.in_channels,
        mirrored=mirrored_channels(line.classes, line.recipe.class_swaps),
    )
    line.say(f"  fold {fold}: pseudo-labels of {len(extra)} images, {config.pseudo_share:.0%} of the samples")
    return Joined(data, extra, share=config.pseudo_share)


class _Teacher:
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
        store = _test_store(line, line.folder / "pseudo" / "teachers" / f"{digest(made)}.zarr", config.size)
        predict.fill(self.line, folds, line.test_items, store)
        return store


def _test_store(line: Line, path: Path, size: int) -> PredictionStore:
    """The store of the test images at `path`, begun where it is not there yet."""
    if path.exists():
        return PredictionStore.open(path)
    items = line.test_items
    sizes = {item.id: image_size(item.image) for item in items}
    return PredictionStore.create(path, ids=list(sizes), classes=line.classes, sizes=sizes, grid=(size, size))


def _of_student(student: Line, given: Mapping[int, Source]) -> Sources:
    """A student as teacher: for each fold its own network, and through its labels those who taught it."""

    def source(fold: int) -> Source:
        learnt = {item.person for item in student.items_of(fold, held_out=False)} | given[fold].learnt_from
        store = _test_store(student, student.folder / f"test-fold{fold}.zarr", student.config.size)
        predict.fill(student, [fold], student.test_items, store)
        return Source([store], learnt)

    return source


def _selected(line: Line, fold: int, source: Source) -> Selection:
    """What of the test images is sure enough to teach a fold."""
    config = line.config
    found = pseudo.select(
        source.stores,
        confidence=config.pseudo_confidence,
        agreement=config.pseudo_agreement if len(source.stores) > 1 else None,
        cap=config.pseudo_cap,
    )
    kept, asked = int(found.table["kept"].sum()), len(found.table)
    line.say(f"  labels of fold {fold}: {len(found.ids)} of {len(line.test_items)} images, {kept} of {asked} masks")
    return found


def _labels(line: Line, given: Mapping[int, Source], chosen: Mapping[int, Selection]) -> Path:
    """The folder of labels, a fold each. ValueError where a fold has none."""
    config = line.config
    persons = {item.id: item.person for item in line.test_items}
    settings = {name: getattr(config, name) for name in CHOSEN_BY}
    stamps = {fold: [store.stamp(persons) for store in source.stores] for fold, source in given.items()}
    place = (line.folder / "pseudo" / f"labels-{digest([settings, stamps, list(persons)])}").resolve()
    for fold, selection in chosen.items():
        if not (place / f"fold{fold}" / "labels.json").is_file():
            selection.write(
                place / f"fold{fold}", kind=config.pseudo_kind, ignore=config.pseudo_ignore,
                learnt_from=given[fold].learnt_from, persons=persons,
            )  # fmt: skip
    return place


def _student(line: Line, labels: Path, number: int) -> Line:
    """This run, and the labels, in a run folder of its own."""
    changes = {"pseudo": labels}
    folder = line.folder / "pseudo" / f"round{number}-{variant.home(line, changes)}"
    student = variant.branch(line, {**changes, "out": folder}, folder)
    shutil.copyfile(line.folder / "folds.csv", folder / "folds.csv")
    student.write_config()
    return student


def _table(line: Line, stores: Sequence[PredictionStore], ids: Sequence[str]) -> pd.DataFrame:
    """Dice, image x class, of the stores' equal mean at .5."""
    space = BlendSpace(stores, line.truth, ids=ids)
    return pd.DataFrame(space.dice(np.ones(len(stores))), index=list(ids), columns=list(space.classes))


def _show(line: Line, found: dict[str, Any]) -> None:
    for title, words, table in tables(found):
        line.say(f"  {title}: {words}")
        line.console.print(table.to_string(index=False, float_format="%.3f"), markup=False)
    if found["kept"]:
        line.say(f"  kept: go on with predict tune submit report --out {found['kept']}")
    else:
        line.say("  pseudo-labels gained nothing that is sure: keep this run as it is")


def tables(found: dict[str, Any]) -> list[tuple[str, str, pd.DataFrame]]:
    """What report.html shows of pseudo.json."""
    from segkit.recipe.ensemble import gain_words

    out = []
    for number, one in enumerate(found["rounds"], 1):
        by = ", ".join(found["teacher"]) if number == 1 else f"the student of round {number - 1}"
        words = (
            f"by {by}, ahead of the plain student by {gain_words(one['lead'])} on persons held out; with "
            f"{found['share']:.0%} of the samples so labelled the student gains {gain_words(one['gain'])}, "
            f"{'which is kept' if one['kept'] else 'which is not sure, and not kept'}."
        )
        selected = pd.DataFrame(one["selected"])
        selected["agreement"] = selected["agreement"].astype(float)
        out.append((f"Pseudo-labels, round {number}", words, selected))
    return out
