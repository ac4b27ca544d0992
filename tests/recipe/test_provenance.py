"""What a result depends on: each setting and fact is changed alone, and every stage says what it does then."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from toy import RECIPE, draw, halves

from segkit.audit import Fix, Problem
from segkit.images import ImageSpec
from segkit.metrics import Dice
from segkit.pseudo import Labels
from segkit.recipe import Config, Run
from segkit.recipe.config import GROUPS, flat, replace
from segkit.recipe.recipe import Recipe, description, folder_layout
from segkit.recipe.stage import execute
from segkit.recipe.stages import predict, submit
from segkit.recipe.stages.audit import AUDIT
from segkit.recipe.stages.folds import FOLDS
from segkit.recipe.stages.train import fold_stage
from segkit.recipe.stages.tune import TUNE
from segkit.submission import SubmissionFormat

STAGES = ("audit", "folds", "train.fold0", "predict.oof", "predict.test", "tune", "submit")
STAYS, AGAIN, REFUSED = "stays", "runs again", "is refused"


def outcome(**changes):
    """{stage: what it does}: those that are not named stay."""
    return {stage: changes.get(stage.replace(".", "_"), STAYS) for stage in STAGES}


NOTHING = outcome()
FROM_TUNING = outcome(tune=AGAIN, submit=AGAIN)
FROM_PREDICTION = {**FROM_TUNING, "predict.oof": AGAIN, "predict.test": AGAIN}
FROM_TRAINING = {stage: STAYS if stage in ("audit", "folds") else REFUSED for stage in STAGES}
FROM_FOLDS = {**FROM_TRAINING, "folds": REFUSED}
FROM_DATA = {**FROM_FOLDS, "audit": AGAIN}

OF_GROUP = {
    "run": NOTHING,
    "machine": NOTHING,
    "data": FROM_FOLDS,
    "model": FROM_TRAINING,
    "train": FROM_TRAINING,
    "labels": FROM_TRAINING,
    "predict": FROM_PREDICTION,
    "tune": FROM_TUNING,
    "report": NOTHING,
    "pseudo": NOTHING,
    "ablate": NOTHING,
    "tune_loss": NOTHING,
}
"""What a change of any setting of a group does to a finished run; a group that is not here fails."""

OF_SETTING = {"pseudo_share": NOTHING}  # without --pseudo there is nothing to share


def stages(run):
    return AUDIT, FOLDS, fold_stage(run, 0), predict.OOF, predict.TEST, TUNE, submit.stage(run)


def quick(stage):
    """A stage that writes empty files where it would train, predict, tune or submit."""
    if stage in (AUDIT, FOLDS):
        return stage

    def work(run):
        for name in stage.makes:
            (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (run.folder / name).touch()
            if name.startswith("fold"):
                (run.folder / name).with_name("last.safetensors").touch()

    return dataclasses.replace(stage, work=work)


def outcomes(run):
    """{stage: what it does now}, each asked alone."""
    found = {}
    for name, stage in zip(STAGES, stages(run)):
        try:
            found[name] = AGAIN if execute(quick(stage), run) else STAYS
        except ValueError:
            found[name] = REFUSED
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder in which every stage is done, for copies."""
    root = tmp_path_factory.mktemp("provenance")
    run = Run.begin(
        RECIPE, replace(Config(), {**RECIPE.presets["demo"], "data": draw(root / "data"), "out": root / "run"})
    )
    assert set(outcomes(run).values()) == {AGAIN}
    assert outcomes(run) == NOTHING
    return run


@pytest.fixture
def copy(finished, tmp_path):
    """-> a function of (settings, facts) that gives the finished run in a copy of its folder, changed."""

    def changed(settings=(), **facts):
        shutil.copytree(finished.folder, tmp_path / "run")
        recipe = dataclasses.replace(finished.recipe, **facts)
        return Run.begin(recipe, replace(finished.config, {**dict(settings), "out": tmp_path / "run"}))

    return changed


def labels(folder):
    """Pseudo-labels as the stage pseudo writes them."""
    store = np.zeros((2, 8, 8), np.uint8)
    (folder / "fold0").mkdir(parents=True)
    np.savez(folder / "fold0" / "image12.png.npz", target=store, weight=store)
    content = (
        '{"ids": ["image12.png"], "classes": ["disc", "square"], "grid": [8, 8], "labelled": [], "learnt_from": []}'
    )
    (folder / "fold0" / "labels.json").write_text(content)
    assert len(Labels(folder / "fold0")) == 1
    return folder


OTHER = {
    "preset": "strong", "folds": None, "out": None, "fit": "pad", "targets": "nearest", "mix": "mixup",
    "schedule": "poly", "averaging": "none", "pseudo_kind": "hard", "stratify": ("half",), "n_folds": 3,
    "limit": 8, "members": None,
}  # fmt: skip
"""Settings that have few values; None: of a run folder's own, asked below."""


def another(name, value, tmp_path):
    """Another value of a setting."""
    if name in OTHER:
        return OTHER[name]
    if name == "data":
        return shutil.copytree(value, tmp_path / "moved")
    if name == "pseudo":
        return labels(tmp_path / "labels")
    if isinstance(value, bool):
        return not value
    if name in ("crop", "loss_epochs"):
        return 16
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.125
    if isinstance(value, tuple):
        return (*value, *value) if value and isinstance(value[0], int) else (*value, "other")
    return (
        f"{value}, other" if value else ("7" if name.startswith("pseudo") else 3 if name == "in_channels" else "other")
    )


@pytest.mark.parametrize("name", flat(Config()))
def test_every_setting(copy, finished, tmp_path, name):
    group = next(g for g in GROUPS if name in {f.name for f in dataclasses.fields(getattr(Config(), g))})
    value = another(name, flat(finished.config)[name], tmp_path)
    if value is None:
        pytest.skip("of a run folder of its own: see below")
    assert value != flat(finished.config)[name]
    assert outcomes(copy({name: value})) == OF_SETTING.get(name, OF_GROUP[group])


def test_every_group_has_an_outcome():
    assert set(OF_GROUP) == {field.name for field in dataclasses.fields(Config)}


def rule(cases):
    return [Problem("file", "image", "", "note", "seen")]


def other_strata(truth):
    return {"half": dict.fromkeys(truth.ids, "big")}


def more_test_images(data):
    train, test = folder_layout(data)
    return train, test.subset(test.ids[:1])


def fewer_training_images(data):
    train, test = folder_layout(data)
    return train.subset(train.ids[2:]), test


FACTS = {
    "name": ("another", NOTHING),
    "samples": (fewer_training_images, FROM_DATA),
    "image": (ImageSpec("rgb"), FROM_DATA),
    "metric": (Dice(empty="skip"), {**FROM_TRAINING}),
    "submission": (SubmissionFormat(empty="-1"), outcome(submit=AGAIN)),
    "exclusive": (True, dict.fromkeys(STAGES, REFUSED)),
    "class_swaps": ([("disc", "square")], FROM_TRAINING),
    "flips": (("horizontal", "vertical"), FROM_TRAINING),
    "rules": ((rule,), outcome(audit=AGAIN)),
    "fixes": ((Fix("image0", "exclude"),), FROM_FOLDS),
    "strata": (other_strata, outcome(submit=AGAIN)),
    "multipart": (("disc",), FROM_TUNING),
    "presets": ({}, NOTHING),
    "default_data": (lambda folder, config: folder, NOTHING),
    "notes": (("a note",), NOTHING),
}


@pytest.mark.parametrize("fact", [field.name for field in dataclasses.fields(Recipe)])
def test_every_fact(copy, fact):
    value, expected = FACTS[fact]
    assert outcomes(copy(**{fact: value})) == expected


def test_a_changed_test_set_is_predicted_again_and_the_training_stands(copy):
    assert outcomes(copy(samples=more_test_images)) == outcome(audit=AGAIN, predict_test=AGAIN, submit=AGAIN)


def test_another_fold_is_trained_beside_the_first(copy):
    run = copy({"folds": (0, 1)})
    with pytest.raises(ValueError, match="run the stage train first"):
        execute(predict.OOF, run)
    assert execute(quick(fold_stage(run, 1)), run)
    assert execute(quick(predict.OOF), run)
    assert not execute(quick(fold_stage(run, 0)), run)


def test_a_fix_that_drops_a_group_cannot_make_a_network_judge_what_it_was_trained_on(copy):
    """FAULTS A1: folds.csv was drawn anew, and fold 0 was believed to be done."""
    fixes = (Fix("image0", "exclude"), Fix("image1", "exclude"))
    run = copy(fixes=fixes)
    before = (run.folder / "folds.csv").read_bytes()
    for stage in (FOLDS, fold_stage(run, 0), predict.OOF):
        with pytest.raises(ValueError, match=r"was made with other training images; other training labels or pixels"):
            execute(stage, run)
    assert (run.folder / "folds.csv").read_bytes() == before


def test_a_changed_setting_is_named_with_both_values(copy):
    run = copy({"lr": 0.5})
    with pytest.raises(ValueError, match=r"fold0 was made with lr 0.01, not 0.5: name another --out") as error:
        execute(fold_stage(run, 0), run)
    assert "delete" in str(error.value)


def test_a_training_that_never_began_is_begun_under_other_settings(copy):
    run = copy({"lr": 0.5})
    shutil.rmtree(run.folder / "fold0")
    (run.folder / ".stages" / "train.fold0.json").unlink()
    assert execute(quick(fold_stage(run, 0)), run)


def test_a_stage_cannot_read_what_it_does_not_declare(copy):
    run = copy()
    scoped = run.scoped(TUNE)
    assert scoped.config.tune.trials == run.config.tune.trials
    assert scoped.config.train.lr == run.config.train.lr  # of a stage that it needs: in its key
    with pytest.raises(LookupError, match=r"stage tune: groups.report is not declared"):
        _ = scoped.config.report
    with pytest.raises(LookupError, match=r"stage tune: facts.submission is not declared"):
        _ = scoped.recipe.submission
    with pytest.raises(LookupError, match=r"stage tune: inputs.test is not declared"):
        _ = scoped.inputs.test
    with pytest.raises(LookupError, match=r"reads test.zarr, but needs no stage that makes it"):
        scoped.file("test.zarr")


def test_functions_are_described_by_their_source():
    def factory(number):
        return lambda x: x + number

    assert description(factory(1)) != description(factory(2))
    assert description(halves) == description(halves)
    assert description(halves) != description(other_strata)
    assert description(Path("x")) == "x"
