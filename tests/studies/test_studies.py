"""Studies that resume, an exact optimum that no sampler beats, and objectives that score what submission runs."""

import numpy as np
import optuna
import pytest

from segkit import studies
from segkit.geometry import resize
from segkit.geometry.logits import logit
from segkit.masks import MaskSet
from segkit.metrics import Counts, Dice, IoU
from segkit.postprocess import Pipeline, fill_holes, keep_largest, remove_small, render
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.thresholds import ScoreCurves, curves

optuna.logging.set_verbosity(optuna.logging.WARNING)
CLASSES = ("x", "y", "z")
SIZES = {f"i{n}": ((60, 72), (51, 47))[n % 2] for n in range(8)}
GROUPS = {i: f"p{int(i[1:]) // 2}" for i in SIZES}
NOTHING = {"min_area": 0.0, "keep_largest": False, "fill_holes": False}


def ellipse(size, rng, share=0.3):
    rows, columns = np.mgrid[: size[0], : size[1]]
    y, x = size[0] * rng.uniform(0.35, 0.65), size[1] * rng.uniform(0.35, 0.65)
    return ((rows - y) / size[0]) ** 2 + ((columns - x) / size[1]) ** 2 < (share * rng.uniform(0.8, 1.2)) ** 2


def world(folder, speck=0.0, shift=0.0):
    """Ellipses, predicted as logits of their coverage; `speck` of the cells beside them say yes, all are shifted."""
    rng = np.random.default_rng(0)
    store = PredictionStore.create(folder, ids=tuple(SIZES), classes=CLASSES, sizes=SIZES, grid=(15, 17))
    rows = {}
    for image, size in SIZES.items():
        masks = {c: ellipse(size, rng) for c in CLASSES}
        soft = np.stack([resize.coverage(m, (15, 17)) for m in masks.values()]).clip(0.02, 0.98)
        logits = np.log(soft / (1 - soft)) + shift
        store[image] = np.where((soft < 0.05) & (rng.random(soft.shape) < speck), 3.0, logits)
        rows[image] = {c: Runs.from_mask(m) for c, m in masks.items()}
    return store, MaskSet(SIZES, CLASSES, lambda i, c: rows[i][c])


@pytest.fixture(scope="module")
def specks(tmp_path_factory):
    store, truth = world(tmp_path_factory.mktemp("s") / "s.zarr", speck=0.05, shift=0.6)
    return store, truth, curves(store, truth)


class Counted:
    """An objective that counts how often it is asked."""

    def __init__(self, found=None):
        self.calls, self.found = 0, found

    def __call__(self, trial):
        self.calls += 1
        return self.found(trial) if self.found else trial.suggest_float("x", 0, 1)


@pytest.mark.parametrize("place", ["folder/study.journal", "sqlite"])
def test_a_study_resumes_and_runs_only_what_is_left(tmp_path, place):
    storage = f"sqlite:///{tmp_path / 's.db'}" if place == "sqlite" else tmp_path / place
    objective = Counted()
    for trials, calls in ((4, 4), (7, 7), (7, 7), (5, 7)):
        study = studies.open_study("s", storage, seed=0)
        studies.optimise(study, objective, trials=trials)
        assert objective.calls == calls
        assert len(study.trials) == calls
    assert len({t.params["x"] for t in study.trials}) == 7  # goes on drawing, repeats nothing
    assert study.best_value == max(t.value for t in study.trials)


def test_a_trial_that_never_ended_is_not_counted(tmp_path):
    study = studies.open_study("s", tmp_path / "s.journal")
    study.ask()  # its process was killed
    objective = Counted()
    studies.optimise(study, objective, trials=3)
    assert objective.calls == 3


def test_the_default_storage_is_a_journal_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studies.optimise(studies.open_study("tune"), Counted(), trials=1)
    assert (tmp_path / "tune.journal").stat().st_size > 0


@pytest.mark.parametrize(
    "content",
    [b"image_name,class,rle\na,x,1 2", b'{"thresholds": 0.5}', b"SQLite format 3\x00rest", b"\xff\xfe", b"[1]"],
)
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path, content):
    place = tmp_path / "truth.csv"
    place.write_bytes(content)
    with pytest.raises(ValueError, match=r"truth.csv is no journal of Optuna; a database is named by URL: sqlite:///"):
        studies.open_study("s", place)
    assert place.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["truth.csv"]  # no lock is left either


@pytest.mark.parametrize("line", [b"{nothing}\n", b"\xff\xff\n", b'{"op_code": 0}\n', b"7\n"])
def test_a_journal_that_cannot_be_read_is_named(tmp_path, line):
    place = tmp_path / "s.journal"
    studies.open_study("s", place)
    broken = place.read_bytes() + line
    place.write_bytes(broken)
    with pytest.raises(ValueError, match=r"s.journal: a line of this journal cannot be read \("):
        studies.open_study("s", place)
    assert place.read_bytes() == broken


def test_an_empty_file_becomes_a_journal_a_folder_does_not(tmp_path):
    (tmp_path / "s.journal").touch()
    studies.optimise(studies.open_study("s", tmp_path / "s.journal"), Counted(), trials=1)
    assert len(studies.open_study("s", tmp_path / "s.journal").trials) == 1
    with pytest.raises(ValueError, match="is a folder; expected a journal file, or the URL of a database"):
        studies.open_study("s", tmp_path)
    with pytest.raises(ValueError, match="storage is empty: expected a journal file"):
        studies.open_study("s", "")


def test_optuna_dashboard_opens_a_journal(tmp_path):
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard (the extra `view`) is not installed")
    from optuna_dashboard._storage_url import get_storage

    written = studies.open_study("s", tmp_path / "s.journal")
    studies.optimise(written, Counted(), trials=3)
    seen = get_storage(str(tmp_path / "s.journal"), None)
    (study,) = seen.get_all_studies()
    assert study.study_name == "s"
    assert [t.value for t in seen.get_all_trials(study._study_id)] == [t.value for t in written.trials]


def test_a_seed_repeats_a_first_run(tmp_path):
    drawn = []
    for n, seed in enumerate((3, 3, 4)):
        study = studies.open_study("s", tmp_path / f"{n}.journal", seed=seed)
        studies.optimise(study, Counted(), trials=4)
        drawn.append([t.params["x"] for t in study.trials])
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_exact_optimum_comes_second_and_no_trial_beats_it(specks, tmp_path):
    found = specks[2]
    objective = Counted(studies.ThresholdObjective(found, low=0.03, high=0.97))
    study = studies.open_study("thresholds", tmp_path / "s.journal", seed=0)
    objective.found.enqueue(study)
    objective.found.enqueue(study)  # a resumed run enqueues again: nothing is tried twice
    studies.optimise(study, objective, trials=30)
    first, second = study.trials[:2]
    assert set(first.params.values()) == {0.5}
    assert first.value == found.score(0.5)
    assert {f"threshold/{c}": t for c, t in found.best().items()} == second.params
    assert second.value == found.score(found.best())
    assert study.best_value == second.value > first.value
    assert len({tuple(t.params.values()) for t in study.trials}) == objective.calls == 30


def test_thresholds_stay_in_their_range(specks, tmp_path):
    objective = studies.ThresholdObjective(specks[2], low=0.45, high=0.5)
    study = studies.open_study("thresholds", tmp_path / "s.journal", seed=0)
    objective.enqueue(study)
    studies.optimise(study, objective, trials=6)
    assert all(0.45 <= v <= 0.5 for t in study.trials for v in t.params.values())
    for low, high in ((0, 0.5), (0.5, 0.5), (0.5, 1)):
        with pytest.raises(ValueError, match="0 < low < high < 1"):
            studies.ThresholdObjective(specks[2], low=low, high=high)


@pytest.mark.parametrize(
    "params",
    [
        {"min_area": 0.0, "keep_largest": False, "fill_holes": False},
        {"min_area": 0.0, "keep_largest": True, "fill_holes": False},
        {"min_area": 0.2, "keep_largest": False, "fill_holes": True},
        {"min_area": 0.05, "keep_largest": True, "fill_holes": True},
    ],
)
def test_a_trial_scores_what_the_pipeline_makes_of_the_full_class_map(specks, params):
    store, truth, found = specks
    best = found.best()
    objective = studies.PostprocessObjective(store, truth, thresholds=best, multipart=("y",))
    scores = objective.scores(objective.pipeline(params))
    table = scores.cells
    assert table.shape == (8, 3)
    for n, image in enumerate(SIZES):
        for k, cls in enumerate(CLASSES):
            mask = resize.upsample(store.plane(image, cls), SIZES[image]) > np.float32(logit(best[cls]))
            if cls != "y":
                mask = keep_largest(mask) if params["keep_largest"] else mask
                median = np.median([truth[i][cls].area for i in SIZES])
                mask = remove_small(mask, min_area=round(params["min_area"] * median))
            mask = fill_holes(mask) if params["fill_holes"] else mask
            assert table[n, k] == Runs.from_mask(mask).dice(truth[image][cls]), (image, cls)
    some = objective.scores(objective.pipeline(params), ["i5", "i2"]).cells
    assert np.array_equal(some, table[[5, 2]])
    assert objective(optuna.trial.FixedTrial(params)) == scores.score()


def test_any_metric_is_what_a_trial_scores(specks):
    store, truth, found = specks
    for metric in (IoU(), Dice(average="pooled")):
        objective = studies.PostprocessObjective(store, truth, metric=metric)
        pipeline = objective.pipeline({**NOTHING, "keep_largest": True})
        value = objective(optuna.trial.FixedTrial({**NOTHING, "keep_largest": True}))
        assert value == pytest.approx(metric(render(store, pipeline), truth))
    with pytest.raises(ValueError, match=r"the curves score by dice, the objective by dice\(average='pooled'\)"):
        studies.choose(found, objective, GROUPS, [])


def test_classes_of_several_parts_keep_them(specks):
    store, truth, _ = specks
    harsh = {"min_area": 0.5, "keep_largest": True, "fill_holes": False}
    pipeline = studies.PostprocessObjective(store, truth, multipart=("y",)).pipeline(harsh)
    changed = dict.fromkeys(CLASSES, 0)
    for image, size in SIZES.items():
        for cls in CLASSES:
            plain = resize.runs_above(store.plane(image, cls), size, 0.5)
            changed[cls] += pipeline(plain, cls) != plain
    assert changed["y"] == 0
    assert min(changed["x"], changed["z"]) > 0
    with pytest.raises(ValueError, match=r"multipart names \['Y'\]: no such class; there are x, y, z"):
        studies.PostprocessObjective(store, truth, multipart=("Y",))


def test_a_study_over_steps_tries_each_combination_once_and_resumes(specks, tmp_path):
    store, truth, found = specks
    objective = Counted(studies.PostprocessObjective(store, truth, thresholds=found.best()))
    assert objective.found.combinations == 44
    for trials in (5, 44):
        study = studies.open_study("steps", tmp_path / "s.journal", seed=0)
        objective.found.enqueue(study)
        studies.optimise(study, objective, trials=trials)
    assert objective.calls == len(study.trials) == 44
    assert len({tuple(t.params.items()) for t in study.trials}) == 44
    assert study.trials[0].params == NOTHING
    assert study.trials[0].value == found.score(found.best())
    again = objective.found.pipeline(study.best_params)
    assert objective.found.scores(again).score() == study.best_value


@pytest.mark.parametrize("score", [None, float("nan")])
def test_an_objective_that_never_scores_ends(tmp_path, score):
    study = studies.open_study("s", tmp_path / "s.journal")
    objective = Counted(lambda trial: score if trial.suggest_float("x", 0, 1) >= 0 else 0)
    with pytest.raises(ValueError, match=f"study s: 5 trials in a row gave no score; the objective gave {score}"):
        studies.optimise(study, objective, trials=20)
    assert objective.calls == 5


def test_a_score_now_and_then_is_enough(tmp_path):
    study = studies.open_study("s", tmp_path / "s.journal")
    objective = Counted(lambda trial: 0.5 if trial.number % 3 == 0 else float("nan"))
    studies.optimise(study, objective, trials=4)
    assert objective.calls == 10


def test_no_gain_no_change(tmp_path):
    store, truth = world(tmp_path / "s.zarr")  # logits of the truth itself: .5 and no step are right
    found = curves(store, truth)
    objective = studies.PostprocessObjective(store, truth, thresholds=found.best())
    tp, predicted = (np.broadcast_to(counts[:, :, 127:128], (8, 3, 255)) for counts in (found.tp, found.predicted))
    flat = ScoreCurves(found.ids, found.classes, found.thresholds, tp, predicted, found.target)
    choice = studies.choose(flat, objective, GROUPS, [{**NOTHING, "keep_largest": True}], k=4)
    assert choice.kept == "nothing"
    assert choice.setting == Pipeline()
    assert choice.tuned == choice.untuned == choice.held_out


def test_cautions_name_what_is_predicted_nowhere():
    target = np.array([[0, 5, 0], [0, 0, 0], [9, 0, 0]])
    predicted = np.array([[0, 5, 0], [3, 0, 0], [0, 0, 0]])
    counts = Counts(np.minimum(target, predicted), predicted, target)
    assert studies.cautions(counts, CLASSES, Dice(), full_score=0.25) == [
        "an empty submission scores 0.7778, a full one 0.2500"
    ]
    counts = Counts(0 * target, 0 * target, target)
    assert studies.cautions(counts, CLASSES, Dice()) == [
        "an empty submission scores 0.7778",
        "WARNING: x is predicted in no image; it is in 1 of 3",
        "WARNING: y is predicted in no image; it is in 1 of 3",
    ]


def test_giving_up_a_class_is_said(tmp_path):
    """Half of the images lack the class and the network sees it everywhere: the best Dice predicts it nowhere."""
    ids = [f"i{n}" for n in range(12)]
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=ids, classes=["x"], sizes=dict.fromkeys(ids, (16, 16)), grid=(8, 8)
    )
    rows = {}
    for n, image in enumerate(ids):
        store[image] = np.full((1, 8, 8), 1.5) + np.random.default_rng(n).normal(0, 0.1, (1, 8, 8))
        mask = np.zeros((16, 16), bool)
        mask[:3, :3] = n == 0
        rows[image] = {"x": Runs.from_mask(mask)}
    truth = MaskSet.from_dict(rows)
    found = curves(store, truth)
    choice = studies.choose(found, studies.PostprocessObjective(store, truth), {i: i for i in ids}, [])
    assert choice.kept == "thresholds"
    counts = found.counts(choice.setting.thresholds)
    lines = studies.cautions(counts, ["x"], Dice(), full_score=found.full_score)
    assert lines[0].startswith("an empty submission scores 0.9167, a full one 0.0")
    assert lines[1] == "WARNING: x is predicted in no image; it is in 1 of 12"
