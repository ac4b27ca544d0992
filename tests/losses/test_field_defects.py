"""Where well-known libraries fall short beyond losses and views: overlapping labels, all classes at once, TPE alone."""

import tracemalloc

import numpy as np
import optuna
import pytest
from made_curves import curves_of

from segkit import metrics, studies, submission
from segkit.geometry import polygons, resize
from segkit.postprocess import render
from segkit.predictions import PredictionStore
from segkit.studies import CurveSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)
SIZE = (512, 512)


@pytest.fixture
def overlapping():
    """Two squares that share a quarter, and one inside the other: targets of a grid, and the masks."""
    squares = {"left": (64, 64, 256), "right": (192, 192, 256), "inside": (96, 96, 64)}
    rings = {c: [np.array([[x, y], [x + s, y], [x + s, y + s], [x, y + s]])] for c, (x, y, s) in squares.items()}
    soft = np.stack([polygons.rasterize(r, SIZE, size=(128, 128), soft=True) for r in rings.values()])
    return list(rings), soft, {c: polygons.rasterize(r, SIZE) for c, r in rings.items()}


def test_10_classes_that_overlap_stay_whole_from_target_to_submission(tmp_path, overlapping):
    """nnU-Net's labels are one number a pixel: what two classes share is lost to one of them."""
    classes, soft, masks = overlapping
    assert (masks["left"] & masks["right"]).sum() == 129 * 129
    assert (masks["inside"] & ~masks["left"]).sum() == 0
    store = PredictionStore.create(tmp_path / "s.zarr", ids=["a"], classes=classes, sizes={"a": SIZE}, grid=(128, 128))
    store["a"] = np.clip(8 * soft - 4, -4, 4)
    found = submission.read(submission.write(tmp_path / "s.csv", render(store)), sizes={"a": SIZE})
    table = metrics.Dice().table({"a": {c: found["a"][c] for c in classes}}, {"a": masks})
    assert table.loc["a"].min() > 0.98
    assert (found["a"]["left"] & found["a"]["right"]).area == pytest.approx(129 * 129, rel=0.03)
    one_label = soft.argmax(0)  # argmax, as one number a pixel would have it
    assert metrics.Dice().table(
        {"a": {c: resize.upsample((one_label == k).astype(np.float32), SIZE) > 0.5 for k, c in enumerate(classes)}},
        {"a": masks},
    ).loc["a"].min() < 0.1  # fmt: skip


def drawn(store):
    """Every mask of a store as text, one after another."""
    masks = render(store)
    return [len(masks[image][cls].text()) for image, cls in masks.rows]


def test_10_no_full_size_logits_of_all_classes_are_ever_held(tmp_path):
    """nnU-Net resamples all classes at once; here memory does not grow with their number."""
    size, planes = (2048, 2048), np.full((29, 64, 64), -4, np.float32)
    planes[:, 20:30, 20:30] = 4
    peaks = []
    for count in (2, 29):
        store = PredictionStore.create(
            tmp_path / f"{count}.zarr", ids=["a"], classes=list(map(str, range(count))), sizes={"a": size},
            grid=(64, 64),
        )  # fmt: skip
        store["a"] = planes[:count]
        drawn(store)  # imports and caches
        tracemalloc.start()
        drawn(store)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 29 * 64 * 64 * 8  # the small logits themselves
    assert peaks[1] < 2048 * 2048 * 4 / 3  # a third of one full-size plane: only the box is made


def test_12_tpe_alone_finds_little_of_what_the_curves_say():
    """29 thresholds in 60 trials: TPE finds next to nothing, the sampler that knows begins with the optimum."""
    logits = np.arange(-127, 128) / 32
    cuts = resize.sigmoid(logits)
    best = np.random.default_rng(0).normal(0, 0.6, 29)  # logits: where each class's optimum lies
    dice = 0.9 - 0.02 * np.abs(logits - best[:, None])
    found = curves_of(["a"], list(map(str, range(29))), cuts, dice[None])
    gains = {}
    for name, sampler in (("tpe", optuna.samplers.TPESampler(seed=0)), ("ours", CurveSampler(found, seed=0))):
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(studies.ThresholdObjective(found), n_trials=60)
        gains[name] = study.best_value - found.score(0.5)
    exact = found.score(found.best()) - found.score(0.5)
    assert gains["ours"] == pytest.approx(exact, rel=1e-4)
    assert exact > 0.005
    assert gains["tpe"] < 0.3 * exact
