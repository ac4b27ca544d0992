"""Stage pseudo: the run again with the labels that a better run gives the test images, where that surely helps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from segkit import pseudo
from segkit.ensemble import BlendSpace
from segkit.files import digest, read_json, write_json
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels, Selection, TeacherOutput
from segkit.recipe import predict, train, variant
from segkit.recipe.config import Config, read_numbers
from segkit.recipe.line import Line
from segkit.recipe.teacher import Teacher, mean_thresholds, test_store

CHOSEN_BY = ("pseudo_kind", "pseudo_confidence", "pseudo_agreement", "pseudo_ignore", "pseudo_cap")


class Source(NamedTuple):
    """What labels the test images for one fold of the student."""

    stores: list[PredictionStore]
    learnt_from: set[str]
    """The persons that these networks learnt from."""
    thresholds: dict[str, float]
    """What their mean is cut at."""


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
    knobs = _knobs(config)
    if knobs["agreement"] is not None and len(config.teacher) == 1:
        raise ValueError("--pseudo-agreement: one teacher agrees with nobody; name several, or leave it out")
    teachers = [Teacher(line, Path(folder)) for folder in config.teacher]
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
        held_out = {item.person for item in line.items_of(fold, held_out=True)}
        return Source(
            stores, set().union(*seen), mean_thresholds([teacher.thresholds(held_out) for teacher in teachers])
        )

    said: list[dict[str, Any]] = []

    def teach(sources: Sources, number: int) -> TeacherOutput | None:
        given = {fold: sources(fold) for fold in line.folds}
        chosen = {fold: _selected(line, fold, source) for fold, source in given.items()}
        if number > 1 and not all(selection.ids for selection in chosen.values()):
            return None
        labels = _labels(line, given, chosen)
        selected = [{str(k): v for k, v in row.items()} for row in chosen[line.folds[0]].summary.to_dict("records")]
        student = _student(line, labels, number)
        train.train_folds(student)
        store = predict.filled(student, "oof")[0]
        said.append({"folder": str(student.folder.path), "labels": str(labels), "selected": selected,
                     "thresholds": given[line.folds[0]].thresholds})  # fmt: skip
        return TeacherOutput(_of_student(student, given), _table(line, [store], ids))

    ahead = TeacherOutput(of_teachers, _table(line, [teacher.oof(ids) for teacher in teachers], ids))
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
    from segkit.data import Joined, PseudoData

    config = line.config
    assert config.pseudo is not None
    labels = Labels(config.pseudo / f"fold{fold}")
    held_out = {item.person for item in line.items_of(fold, held_out=True)}
    pseudo.guard(held_out, labelled=labels.labelled, learnt_from=labels.learnt_from)
    extra = PseudoData(
        line.test_samples,
        labels,
        size=data.size,
        transform=data.transform,
        seed=config.seed,
        cache=line.cache,
        in_channels=config.in_channels,
        class_swaps=line.recipe.class_swaps,
    )
    line.say(f"  fold {fold}: pseudo-labels of {len(extra)} images, {config.pseudo_share:.0%} of the samples")
    return Joined(data, extra, share=config.pseudo_share)


def _of_student(student: Line, given: Mapping[int, Source]) -> Sources:
    """A student as teacher: for each fold its own network, and through its labels those who taught it."""

    def source(fold: int) -> Source:
        learnt = {item.person for item in student.items_of(fold, held_out=False)} | given[fold].learnt_from
        store = test_store(student, student.folder / f"test-fold{fold}.zarr", student.config.size)
        predict.fill(student, [fold], student.test_items, store)
        return Source([store], learnt, dict.fromkeys(student.classes, 0.5))

    return source


def _selected(line: Line, fold: int, source: Source) -> Selection:
    """What of the test images is sure enough to teach a fold."""
    knobs = _knobs(line.config)
    if len(source.stores) == 1:
        knobs["agreement"] = None
    found = pseudo.select(source.stores, thresholds=source.thresholds, **knobs)
    kept, asked = int(found.table["kept"].sum()), len(found.table)
    line.say(f"  labels of fold {fold}: {len(found.ids)} of {len(line.test_items)} images, {kept} of {asked} masks")
    return found


def _knobs(config: Config) -> dict[str, Any]:
    """Confidence, agreement and cap, as select() takes them."""
    names = ("confidence", "agreement", "cap")
    return {name: read_numbers(f"--pseudo-{name}", getattr(config, f"pseudo_{name}")) for name in names}


def _labels(line: Line, given: Mapping[int, Source], chosen: Mapping[int, Selection]) -> Path:
    """The folder of labels, a fold each. ValueError where a fold has none."""
    config = line.config
    persons = {item.id: item.person for item in line.test_items}
    settings = {name: getattr(config, name) for name in CHOSEN_BY}
    settings |= {f"pseudo_{name}": value for name, value in _knobs(config).items()}
    cuts = {fold: source.thresholds for fold, source in given.items()}
    if any(cut != 0.5 for thresholds in cuts.values() for cut in thresholds.values()):
        settings["thresholds"] = cuts
    stamps = {fold: [store.stamp(persons) for store in source.stores] for fold, source in given.items()}
    place = (line.folder / "pseudo" / f"labels-{digest([settings, stamps, list(persons)])}").resolve()
    for fold, selection in chosen.items():
        if not (place / f"fold{fold}" / "labels.json").is_file():
            selection.write(
                place / f"fold{fold}", kind=config.pseudo_kind, ignore=config.pseudo_ignore,
                learnt_from=given[fold].learnt_from, groups=persons,
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
            f"by {by}, ahead of the plain student by {gain_words(one['lead'])} on persons held out; labels are cut at "
            f"{_cut_words(one.get('thresholds', {}))}; with {found['share']:.0%} of the samples so labelled the "
            f"student gains {gain_words(one['gain'])}, "
            f"{'which is kept' if one['kept'] else 'which is not sure, and not kept'}."
        )
        selected = pd.DataFrame(one["selected"])
        selected["agreement"] = selected["agreement"].astype(float)
        out.append((f"Pseudo-labels, round {number}", words, selected))
    return out


def _cut_words(thresholds: Mapping[str, float]) -> str:
    if all(cut == 0.5 for cut in thresholds.values()):
        return ".5"
    return "the teacher's thresholds, " + ", ".join(f"{cls} {cut:.2f}" for cls, cut in thresholds.items())
