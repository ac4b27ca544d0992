"""The study over a blend: what a trial scores, what comes first, what its params stand for."""

import numpy as np
import optuna
import pytest

from segkit.ensemble import BlendSpace
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.studies import BlendObjective, open_study, optimise

CLASSES, IDS, SIZE = ("x", "y"), ("a", "b"), (21, 22)


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("s"), np.random.default_rng(0)
    blobs = rng.normal(0, 1, (2, 2, 4, 4))
    stores = []
    for name in ("one", "two"):
        store = PredictionStore.create(
            folder / f"{name}.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=(4, 4)
        )
        for n, image in enumerate(IDS):
            store[image] = blobs[n] + rng.normal(0, 0.7, (2, 4, 4))
        stores.append(store)
    truth = {
        i: {c: Runs.from_mask(resize.upsample(blobs[n, k], SIZE) > 0) for k, c in enumerate(CLASSES)}
        for n, i in enumerate(IDS)
    }
    return BlendSpace(stores, truth, low=0.3, high=0.8)


@pytest.mark.parametrize("weights_by_class", [False, True])
@pytest.mark.parametrize("thresholds_by_class", [False, True])
def test_a_trial_is_the_dice_of_its_params(space, weights_by_class, thresholds_by_class):
    objective = BlendObjective(space, weights_by_class=weights_by_class, thresholds_by_class=thresholds_by_class)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    objective.enqueue(study)
    objective.enqueue(study)
    study.optimize(objective, n_trials=12)
    assert study.trials[0].value == space.scores().score()
    assert study.trials[1].params != study.trials[0].params
    assert study.best_value >= space.scores().score()
    wanted = {"weight/one/x", "weight/one/y", "weight/two/x", "weight/two/y"} if weights_by_class else set()
    wanted |= set() if weights_by_class else {"weight/one", "weight/two"}
    wanted |= {"threshold/x", "threshold/y"} if thresholds_by_class else {"threshold"}
    for trial in study.trials:
        assert set(trial.params) == wanted
        weights, thresholds = objective.settings(trial.params)
        assert trial.value == space.scores(weights, thresholds).score()
        pipeline = objective.pipeline(trial.params)
        assert space.scores(pipeline.blend.weights, pipeline.thresholds).score() == trial.value
        assert weights["y"][1] == trial.params["weight/two/y" if weights_by_class else "weight/two"]
        assert thresholds["y"] == trial.params["threshold/y" if thresholds_by_class else "threshold"]


def test_no_weight_at_all_is_pruned(space):
    objective = BlendObjective(space)
    with pytest.raises(optuna.TrialPruned, match="all weights are 0"):
        objective(optuna.trial.FixedTrial({"weight/one": 0.0, "weight/two": 0.0, "threshold": 0.5}))


def test_a_range_without_a_half_starts_at_its_end(space):
    other = space.subset(IDS)
    other.low = 0.6
    study = optuna.create_study(direction="maximize")
    BlendObjective(other).enqueue(study)
    study.optimize(BlendObjective(other), n_trials=1)
    assert study.trials[0].params["threshold"] == 0.6


def test_a_study_on_disk_is_resumed(space, tmp_path):
    for trials in (3, 5):
        study = open_study("blend", tmp_path / "blend.journal", seed=0)
        BlendObjective(space).enqueue(study)
        optimise(study, BlendObjective(space), trials=trials)
        assert len(study.trials) == trials
