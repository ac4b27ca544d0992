"""Thresholds come from the curves, everything else is TPE's own draw."""

import numpy as np
import optuna
import pytest
from made_curves import curves_of

from segkit import studies
from segkit.ensemble import BlendSpace
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.studies import CurveSampler
from segkit.studies.steps import KEPT_LEVELS
from segkit.thresholds import curves

optuna.logging.set_verbosity(optuna.logging.WARNING)
CUTS = resize.sigmoid(np.arange(-8, 9) / 4)  # 17, from .12 to .88; .5 is CUTS[8]
SIZE = (40, 44)


def made(**means):
    """Curves of one image with these mean Dice at the 17 cuts."""
    return curves_of(["a"], list(means), CUTS, [list(means.values())])


def peak(at, steep):
    return 0.9 - steep * np.abs(np.arange(17) - at)


TWO = made(flat=peak(4, 1e-5), steep=peak(12, 0.05))


def study_of(sampler, direction="maximize"):
    return optuna.create_study(direction=direction, sampler=sampler)


def thresholds(trial, low=0.1, high=0.9):
    return {c: trial.suggest_float(f"threshold/{c}", low, high) for c in TWO.classes}


def test_the_first_trial_is_the_exact_optimum_of_the_range():
    trial = study_of(CurveSampler(TWO)).ask()
    assert thresholds(trial) == TWO.best() == {"flat": CUTS[4], "steep": CUTS[12]}
    assert thresholds(study_of(CurveSampler(TWO)).ask(), low=0.45, high=0.6) == {"flat": CUTS[8], "steep": CUTS[9]}
    narrow = thresholds(study_of(CurveSampler(TWO)).ask(), low=0.51, high=0.52)  # no cut at all in there
    assert all(0.51 <= t <= 0.52 for t in narrow.values())
    stepped = study_of(CurveSampler(TWO)).ask().suggest_float("threshold/steep", 0.1, 0.9, step=0.1)
    assert stepped == pytest.approx(0.7)  # CUTS[12] is .731


def test_one_threshold_for_all_is_that_of_the_mean_curve():
    trial = study_of(CurveSampler(TWO)).ask()
    assert trial.suggest_float("threshold", 0.1, 0.9) == CUTS[12]  # what steep loses weighs more
    flat = made(a=peak(2, 0.01), b=peak(6, 0.01))
    assert study_of(CurveSampler(flat)).ask().suggest_float("threshold", 0.1, 0.9) == CUTS[6]  # a tie: nearest to .5


@pytest.mark.parametrize("seed", [0, 1])
def test_everything_else_is_what_tpe_alone_would_draw(seed):
    def others(trial):
        x, kind = trial.suggest_float("x", 0, 1), trial.suggest_categorical("kind", ["a", "b"])
        return -((x - 0.3) ** 2) - (kind == "a")

    def mixed(trial):
        value = others(trial)
        thresholds(trial)
        return value

    alone, ours = (study_of(s) for s in (optuna.samplers.TPESampler(seed=seed), CurveSampler(TWO, seed=seed)))
    alone.optimize(others, n_trials=25)
    ours.optimize(mixed, n_trials=25)
    drawn = [{k: t.params[k] for k in ("x", "kind")} for t in ours.trials]
    assert drawn == [t.params for t in alone.trials]


def test_a_flat_curve_is_searched_widely_and_a_steep_one_hardly():
    study = study_of(CurveSampler(TWO, explore=1.0, seed=0))
    study.optimize(lambda trial: float(TWO.score(thresholds(trial))), n_trials=200)
    assert study.best_trial.number == 0
    shrunk = [TWO.best(s) for s in (0.25, 0.5, 0.75, 1.0)]
    drawn = [{c: t.params[f"threshold/{c}"] for c in TWO.classes} for t in study.trials]
    assert all(s in drawn for s in shrunk)
    assert 20 <= sum(d in shrunk for d in drawn) <= 80  # every fourth
    moved = [d for d in drawn if d not in shrunk]
    assert {d["steep"] for d in moved} == {CUTS[12]}
    assert len({d["flat"] for d in moved}) > 10


def test_trials_that_do_not_explore_have_the_exact_thresholds_or_the_best_so_far():
    def objective(trial):
        trial.suggest_float("x", 0, 1)
        found = thresholds(trial)
        return 1.0 if found["flat"] == CUTS[0] else 0.0  # against what the curve says

    def drawn(trials):
        return [(t.params["threshold/flat"], t.params["threshold/steep"]) for t in trials]

    study = study_of(CurveSampler(TWO, explore=0.0, seed=0))
    study.enqueue_trial({"threshold/flat": 0.5, "threshold/steep": 0.5})  # which somebody had to try
    study.optimize(objective, n_trials=2)
    assert drawn(study.trials) == [(0.5, 0.5), (CUTS[4], CUTS[12])]
    study.enqueue_trial({"x": 0.5, "threshold/flat": CUTS[0], "threshold/steep": CUTS[3]})
    study.optimize(objective, n_trials=30)
    both = drawn(study.trials[3:])
    assert set(both) == {(CUTS[4], CUTS[12]), (CUTS[0], CUTS[3])}
    assert 6 <= both.count((CUTS[0], CUTS[3])) <= 23


@pytest.mark.parametrize("before", ["enqueued", "tpe"])
def test_the_exact_optimum_is_tried_whatever_was_tried_before(before):
    study = study_of(optuna.samplers.TPESampler(seed=0))
    if before == "enqueued":
        study.enqueue_trial({"threshold/flat": 0.5, "threshold/steep": 0.5})
    study.optimize(lambda trial: thresholds(trial)["flat"] + 1, n_trials=1)
    study.sampler = CurveSampler(TWO, explore=0.0, seed=0)
    study.optimize(lambda trial: float(TWO.score(thresholds(trial))), n_trials=1)
    assert study.trials[1].params == {f"threshold/{c}": t for c, t in TWO.best().items()}


def test_no_trial_is_repeated_where_something_else_can_be_tried():
    wide = made(**{f"c{n}": peak(8, 1e-5) for n in range(29)})
    study = study_of(CurveSampler(wide, explore=0.0, seed=0))

    def objective(trial):
        drawn = {c: trial.suggest_float(f"threshold/{c}", 0.1, 0.9) for c in wide.classes}
        return float(wide.score(drawn))

    study.optimize(objective, n_trials=9)
    assert len({tuple(t.params.values()) for t in study.trials}) == 9


def test_curves_of_what_was_drawn_before():
    asked = []

    def of(params):
        asked.append(dict(params))
        return made(flat=peak(params["at"], 0.01), steep=peak(3, 0.01))

    study = study_of(CurveSampler(of, seed=0))
    for _ in range(12):
        trial = study.ask()
        at = trial.suggest_int("at", 0, 16)
        assert thresholds(trial) == {"flat": CUTS[at], "steep": CUTS[3]}
        study.tell(trial, 0.5)
    assert asked == [{"at": t.params["at"]} for t in study.trials]  # once a trial


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CurveSampler(TWO, explore=1.5), "explore=1.5"),
        (lambda: CurveSampler(TWO, tolerance=0), "tolerance=0"),
        (
            lambda: study_of(CurveSampler(TWO)).ask().suggest_float("threshold/flut", 0.1, 0.9),
            "threshold/flut: the curves have no such class; there are flat, steep",
        ),
        (lambda: thresholds(study_of(CurveSampler(TWO), "minimize").ask()), "minimises"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two stores of blobs, each with a bias of a class of its own, and their truth."""
    random, ids, classes = np.random.default_rng(0), [f"i{n}" for n in range(6)], ("x", "y")
    blobs = random.normal(0, 2, (6, 2, 6, 6))
    stores = []
    for number, shift in enumerate(((1.2, -1.0), (-0.8, 1.4))):
        store = PredictionStore.create(
            tmp_path_factory.mktemp("s") / f"{number}.zarr",
            ids=ids, classes=classes, sizes=dict.fromkeys(ids, SIZE), grid=(6, 6),
        )  # fmt: skip
        for n, image in enumerate(ids):
            store[image] = blobs[n] + random.normal(0, 0.5, (2, 6, 6)) + np.reshape(shift, (2, 1, 1))
        stores.append(store)
    truth = {i: {c: resize.upsample(blobs[n, k], SIZE) > 0 for k, c in enumerate(classes)} for n, i in enumerate(ids)}
    return stores, truth


def test_steps_and_thresholds_of_each_class_in_one_study(world, tmp_path):
    (store, _), truth = world
    found = curves(store, truth)
    objective = studies.PostprocessObjective(store, truth, thresholds=found)
    study = studies.open_study("s", tmp_path / "s.journal", seed=0, curves=found)
    objective.enqueue(study)
    studies.optimise(study, objective, trials=25)
    first, second = study.trials[:2]
    assert first.value == pytest.approx(found.score(0.5), abs=1e-6)
    assert second.value == pytest.approx(found.score(found.best()), abs=1e-6)
    assert study.best_value >= second.value > first.value
    for trial in study.trials:
        pipeline = objective.pipeline(trial.params)
        assert trial.value == objective.scores(pipeline).score()
        assert pipeline.threshold("y") == trial.params["threshold/y"]
    assert len({t.params["threshold/x"] for t in study.trials}) > 2
    assert max(map(len, objective._cache._known.values())) <= KEPT_LEVELS
    choice = studies.choose(found, objective, {i: i for i in found.ids}, [t.params for t in study.trials], k=3)
    assert choice.rows[0].held_out > choice.untuned


def test_a_study_with_curves_repeats_by_its_seed_and_resumes(tmp_path):
    runs = []
    for folder, budgets in (("one", (12,)), ("two", (12,)), ("three", (6, 12))):
        for trials in budgets:
            study = studies.open_study("s", tmp_path / folder / "s.journal", seed=5, curves=TWO)
            studies.optimise(study, studies.ThresholdObjective(TWO), trials=trials)
        runs.append([t.params for t in study.trials])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert runs[0][:6] == runs[2][:6]
    assert runs[2][0] == {f"threshold/{c}": t for c, t in TWO.best().items()}


def test_the_curves_of_a_blend_are_its_dice(world):
    stores, truth = world
    space = BlendSpace(stores, truth, low=0.2, high=0.9)
    found = studies.blend_curves(space, [1, 3], steps=5)
    assert found.thresholds[[0, -1]] == pytest.approx([0.2, 0.9])
    for threshold in found.thresholds:
        assert np.array_equal(found.scores(threshold).cells, space.dice([1, 3], float(threshold)))
    study = study_of(CurveSampler(studies.blend_curves(space), seed=0))
    objective = studies.BlendObjective(space, thresholds_by_class=True)
    study.optimize(objective, n_trials=20)
    assert study.best_value > space.dice().mean()
    with pytest.raises(ValueError, match="steps=1"):
        studies.blend_curves(space, steps=1)
