"""Offsets of exclusive classes: what a trial scores is what is rendered, and a bias that is there is found."""

import numpy as np
import optuna
import pytest

from segkit.masks import MaskSet
from segkit.metrics import MeanIoU
from segkit.postprocess import render
from segkit.predictions import PredictionStore
from segkit.selection import select
from segkit.studies import OffsetsObjective, open_study, optimise
from segkit.thresholds import per_class

CLASSES = ("sky", "road", "car")
IDS = [f"i{n}" for n in range(12)]
SIZE = (24, 32)


@pytest.fixture
def world(tmp_path):
    """Stripes whose logits are right but for cars, which a network says .8 too rarely."""
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=(12, 16), exclusive=True
    )
    rng, truth = np.random.default_rng(0), {}
    for image in IDS:
        labels = np.repeat(rng.integers(0, 3, (6, 8)), 2, axis=0).repeat(2, axis=1)
        logits = np.eye(3)[labels].transpose(2, 0, 1) + rng.normal(0, 0.2, (3, 12, 16))
        store[image] = (logits - np.array([0, 0, 0.8])[:, None, None]).astype(np.float32)
        full = labels.repeat(2, axis=0).repeat(2, axis=1)
        truth[image] = {cls: full == number for number, cls in enumerate(CLASSES)}
    return store, MaskSet.from_dict(truth)


def test_a_trial_scores_what_is_rendered(world):
    store, truth = world
    objective = OffsetsObjective(store, truth)
    offsets = {"sky": 0.0, "road": -0.3, "car": 0.7}
    masks = render(store, objective.pipeline(offsets), ids=IDS[3:6])
    expected = MeanIoU().scores(masks, truth.subset(IDS[3:6])).score()
    assert objective.scores(offsets, IDS[3:6]).score() == pytest.approx(expected)


def test_a_bias_is_found_and_kept_by_the_one_loop(world, tmp_path):
    store, truth = world
    objective = OffsetsObjective(store, truth)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = open_study("offsets", tmp_path / "offsets.journal", seed=0)
    objective.enqueue(study)
    optimise(study, objective, trials=40)
    assert set(study.trials[0].params.values()) == {0.0}
    candidate = objective.candidate([trial.params for trial in study.trials])

    def score(pipeline, ids):
        return objective.scores(per_class(pipeline.offsets, CLASSES), ids)

    found = select(objective.pipeline(dict.fromkeys(CLASSES, 0.0)), [candidate], score, IDS, {i: i for i in IDS})
    assert found.kept == "offsets"
    assert found.setting.offsets["car"] > 0.3
    assert found.held_out > found.untuned + 0.05


def test_classes_that_overlap_have_no_offsets(tmp_path):
    store = PredictionStore.create(tmp_path / "s.zarr", ids=["a"], classes=["x"], sizes={"a": (4, 4)}, grid=(2, 2))
    store["a"] = np.full((1, 2, 2), -1.0, np.float32)
    with pytest.raises(ValueError, match="have thresholds, not offsets"):
        OffsetsObjective(store, {"a": {"x": np.ones((4, 4), bool)}})
