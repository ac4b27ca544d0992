"""Stage pseudo: the run again with the labels that a better run gives the test images, where that gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from segkit import pseudo
from segkit.files import digest, read_json, write_json
from segkit.postprocess import render
from segkit.predictions import PredictionStore
from segkit.pseudo import Selection, TeacherOutput
from segkit.recipe import variant
from segkit.recipe.config import read_numbers
from segkit.recipe.run import Run
from segkit.recipe.settings import PseudoSettings
from segkit.recipe.stage import execute, require, take_over
from segkit.recipe.stages import predict
from segkit.recipe.stages.audit import AUDIT
from segkit.recipe.stages.ensemble import gain_words
from segkit.recipe.stages.folds import FOLDS, asked_folds, ids_of
from segkit.recipe.stages.train import fold_stage
from segkit.recipe.teacher import Teacher, mean_thresholds, test_store


class Source(NamedTuple):
    """What labels the test images for one fold of the student."""

    stores: list[PredictionStore]
    learnt_from: set[str]
    """The groups that these networks learnt from."""
    thresholds: dict[str, float]
    """Of the mean of the stores."""


Sources = Callable[[int], Source]
"""fold -> its Source, predicted when asked for."""


def run_stage(run: Run) -> None:
    """Refuse a teacher that is not significantly better; else select, train, compare, and write pseudo.json.

    The student of a fold learns only from networks that never saw the groups that validate it. pseudo/ holds the
    teachers' predictions, the labels and a whole run folder for each round: what was done is not done again.
    """
    settings = run.config.pseudo
    if run.config.labels.pseudo is not None:
        raise ValueError(f"this run learns from {run.config.labels.pseudo} already: expected the plain student")
    if not settings.teacher:
        raise ValueError("name the run folders that are to label the test images: --teacher RUN [RUN ...]")
    plain = PredictionStore.open(require(predict.OOF, run) / "oof.zarr")
    if read_knobs(settings)["agreement"] is not None and len(settings.teacher) == 1:
        raise ValueError("--pseudo-agreement: one teacher agrees with nobody; name several, or leave it out")
    teachers, folds, groups = [Teacher(run, Path(folder)) for folder in settings.teacher], asked_folds(run), _held(run)
    for fold in folds:
        pseudo.guard(groups[fold], labelled=set(run.inputs.test.groups.values()), learnt_from=())
    allowed = {fold: [teacher.networks(run, fold) for teacher in teachers] for fold in folds}
    ids = [image for image in plain.ids if image in run.inputs.train.truth]

    def of_teachers(fold: int) -> Source:
        stores = [teacher.predicted(run, own) for teacher, own in zip(teachers, allowed[fold], strict=True)]
        seen = [teacher.learnt_from(one) for teacher, own in zip(teachers, allowed[fold], strict=True) for one in own]
        thresholds = mean_thresholds([teacher.thresholds(groups[fold]) for teacher in teachers])
        return Source(stores, set().union(*seen), thresholds)

    described: list[dict[str, Any]] = []

    def teach(sources: Sources, number: int) -> TeacherOutput | None:
        given = {fold: sources(fold) for fold in folds}
        chosen = {fold: _selected(run, fold, source) for fold, source in given.items()}
        if number > 1 and not all(selection.ids for selection in chosen.values()):
            return None
        labels = _labels(run, given, chosen)
        selected = [{str(k): v for k, v in row.items()} for row in chosen[folds[0]].summary.to_dict("records")]
        student = _student(run, labels, number)
        for fold in folds:
            execute(fold_stage(student, fold), student)
        execute(predict.OOF, student)
        store = PredictionStore.open(require(predict.OOF, student) / "oof.zarr")
        described.append({"folder": str(student.folder), "labels": str(labels), "selected": selected,
                          "thresholds": given[folds[0]].thresholds})  # fmt: skip
        return TeacherOutput(_of_student(student, given), _table(run, [store], ids))

    ahead = TeacherOutput(of_teachers, _table(run, [teacher.oof(ids) for teacher in teachers], ids))
    found = pseudo.rounds(teach, ahead, _table(run, [plain], ids), run.inputs.train.groups, most=settings.pseudo_rounds)
    rounds = [
        {**one, "lead": done.lead._asdict(), "gain": done.gain._asdict(), "kept": done.kept}
        for one, done in zip(described, found.rounds, strict=True)
    ]
    kept = next((one["folder"] for one in reversed(rounds) if one["kept"]), None)
    share = run.config.labels.pseudo_share
    result = {"teacher": list(settings.teacher), "share": share, "rounds": rounds, "kept": kept}
    write_json(run.folder / "pseudo.json", result)
    for number, one in enumerate(rounds):
        write_json(Path(one["folder"]) / "pseudo.json", {**result, "rounds": rounds[: number + 1]})
    _show(run, read_json(run.folder / "pseudo.json"))


def read_knobs(settings: PseudoSettings) -> dict[str, Any]:
    """Read confidence, agreement and cap as pseudo.select() takes them."""
    names = ("confidence", "agreement", "cap")
    return {name: read_numbers(f"--pseudo-{name}", getattr(settings, f"pseudo_{name}")) for name in names}


def _held(run: Run) -> dict[int, set[str]]:
    """{fold: groups that validate it}."""
    groups = run.inputs.train.groups
    return {fold: {groups[i] for i in ids_of(run, fold, held_out=True)} for fold in asked_folds(run)}


def _of_student(student: Run, given: Mapping[int, Source]) -> Sources:
    """A student as teacher: for each fold its own network, and through its labels those who taught it."""

    def source(fold: int) -> Source:
        groups, samples = student.inputs.train.groups, student.inputs.test
        learnt = {groups[i] for i in ids_of(student, fold, held_out=False)} | given[fold].learnt_from
        store = test_store(student, student.folder / f"test-fold{fold}.zarr", samples)
        predict.fill(student, [fold], samples, store)
        return Source([store], learnt, dict.fromkeys(student.inputs.classes, 0.5))

    return source


def _selected(run: Run, fold: int, source: Source) -> Selection:
    """What of the test images is certain enough to teach a fold."""
    knobs = read_knobs(run.config.pseudo)
    if len(source.stores) == 1:
        knobs["agreement"] = None
    found = pseudo.select(source.stores, thresholds=source.thresholds, **knobs)
    kept, asked = int(found.table["kept"].sum()), len(found.table)
    run.say(f"  labels of fold {fold}: {len(found.ids)} of {len(run.inputs.test)} images, {kept} of {asked} masks")
    return found


def _labels(run: Run, given: Mapping[int, Source], chosen: Mapping[int, Selection]) -> Path:
    """The folder of labels, a fold each. ValueError where a fold has none."""
    settings, groups = run.config.pseudo, run.inputs.test.groups
    decides = {**asdict(settings), **read_knobs(settings), "teacher": None, "pseudo_rounds": None}
    thresholds = {fold: source.thresholds for fold, source in given.items()}
    stamps = {fold: [store.stamp(groups) for store in source.stores] for fold, source in given.items()}
    name = digest([decides, thresholds, stamps, list(groups)])
    place = (run.folder / "pseudo" / f"labels-{name}").resolve()
    for fold, selection in chosen.items():
        if not (place / f"fold{fold}" / "labels.json").is_file():
            selection.write(
                place / f"fold{fold}", kind=settings.pseudo_kind, ignore=settings.pseudo_ignore,
                learnt_from=given[fold].learnt_from, groups=groups,
            )  # fmt: skip
    return place


def _student(run: Run, labels: Path, number: int) -> Run:
    """This run, and the labels, in a run folder of its own."""
    changes = {"pseudo": labels}
    name = variant.run_dir(run, "pseudo", changes).name
    student = run.derive(changes, run.folder / "pseudo" / f"round{number}-{name}")
    for stage in (AUDIT, FOLDS):
        take_over(stage, run, student)
    student.write_config()
    return student


def _table(run: Run, stores: Sequence[PredictionStore], ids: Sequence[str]) -> pd.DataFrame:
    """Scores, image x class, of the stores' equal mean at .5, or by the highest class."""
    return run.recipe.metric.table(render(stores, ids=ids), run.inputs.train.truth.subset(ids))


def _show(run: Run, found: Mapping[str, Any]) -> None:
    for title, words, table in tables(found):
        run.say(f"  {title}: {words}", markup=False)
        run.say(table.to_string(index=False, float_format="%.3f"), markup=False)
    if found["kept"]:
        run.say(f"  kept: go on with predict tune submit report --out {found['kept']}", markup=False)
    else:
        run.say("  pseudo-labels gained nothing significant: keep this run as it is")


def tables(found: Mapping[str, Any]) -> list[tuple[str, str, pd.DataFrame]]:
    """Return (title, words, table) of pseudo.json for the report."""
    out = []
    for number, one in enumerate(found["rounds"], 1):
        by = ", ".join(found["teacher"]) if number == 1 else f"the student of round {number - 1}"
        words = (
            f"by {by}, ahead of the plain student by {gain_words(one['lead'])} on groups held out; labels are drawn at "
            f"{_threshold_words(one.get('thresholds', {}))}; with {found['share']:.0%} of the samples so labelled the "
            f"student gains {gain_words(one['gain'])}, "
            f"{'which is kept' if one['kept'] else 'which is not significant, and not kept'}."
        )
        selected = pd.DataFrame(one["selected"])
        selected["agreement"] = selected["agreement"].astype(float)
        out.append((f"Pseudo-labels, round {number}", words, selected))
    return out


def _threshold_words(thresholds: Mapping[str, float]) -> str:
    if all(threshold == 0.5 for threshold in thresholds.values()):
        return ".5"
    return "the teacher's thresholds, " + ", ".join(f"{cls} {value:.2f}" for cls, value in thresholds.items())
