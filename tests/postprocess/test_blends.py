"""Blends that are rendered are scored as a BlendSpace scores them, and where it cannot."""

import numpy as np
import pytest

from segkit.ensemble import BlendSpace, members, nested
from segkit.ensemble.greedy import Scorer
from segkit.geometry import argmax_runs, resize
from segkit.masks import MaskSet
from segkit.metrics import Dice, MeanIoU, SurfaceDice
from segkit.postprocess import RenderedBlends, blend_scorer
from segkit.predictions import PredictionStore
from segkit.rle import Runs

IDS, CLASSES, SIZE, SIDE = tuple(f"i{n}" for n in range(8)), ("x", "y", "z"), (24, 25), (8, 9)
GROUPS = {image: image for image in IDS}


def made(folder, noises, exclusive):
    """Stores of a truth under noise: its logits, or for exclusive classes those of the highest."""
    rng = np.random.default_rng(0)
    blobs = {image: rng.normal(0, 2, (3, 4, 4)) for image in IDS}
    stores = []
    for number, noise in enumerate(noises):
        store = PredictionStore.create(
            folder / f"{number}.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=SIDE,
            exclusive=exclusive,
        )  # fmt: skip
        for image in IDS:
            clean = np.stack([resize.upsample(blob, SIDE) for blob in blobs[image]])
            store[image] = clean + rng.normal(0, noise, clean.shape)
        stores.append(store)
    rows = {}
    for image in IDS:
        if exclusive:
            rows[image] = argmax_runs(dict(zip(CLASSES, blobs[image])), SIZE)
        else:
            full = [resize.upsample(blob, SIZE) > 0 for blob in blobs[image]]
            rows[image] = {cls: Runs.from_mask(mask) for cls, mask in zip(CLASSES, full)}
    return stores, MaskSet.from_dict(rows)


def test_rendered_scores_are_those_of_a_blend_space(tmp_path):
    stores, truth = made(tmp_path, (0.5, 1, 2), exclusive=False)
    rendered, counted = RenderedBlends(stores, truth), Scorer(BlendSpace(stores, truth), 0.5)
    for weights in (None, [1, 0, 2], {"x": [1, 2, 3], "*": [0, 0, 1]}):
        assert np.array_equal(rendered(weights).cells, counted(weights).cells)
    assert np.array_equal(rendered([1, 0, 2], ["i3", "i1"]).cells, counted([1, 0, 2], ["i3", "i1"]).cells)
    assert (rendered.names, rendered.ids, rendered.classes) == (counted.names, counted.ids, counted.classes)


def test_the_scorer_suits_stores_and_metric(tmp_path):
    stores, truth = made(tmp_path, (0.5, 1), exclusive=False)
    assert isinstance(blend_scorer(stores, truth), Scorer)
    assert isinstance(blend_scorer(stores, truth, metric=SurfaceDice(tolerance=1)), RenderedBlends)
    assert blend_scorer(stores, truth, ids=IDS[:3])(None).ids == IDS[:3]


def test_members_and_weights_of_exclusive_classes(tmp_path):
    stores, truth = made(tmp_path, (1.0, 1.0, 6.0), exclusive=True)
    scorer = blend_scorer(stores, truth, metric=MeanIoU())
    found = members(scorer, GROUPS)
    assert found.names == ("0", "1")
    assert scorer(found.weights).score() > scorer([1, 0, 0]).score()
    weighted = nested(scorer, GROUPS, rounds=3, k=4)
    assert weighted.kept == "weights"
    assert weighted.setting["x"][2] < 0.2
    assert weighted.tuned == scorer(weighted.setting).score()


def test_a_rendered_blend_is_rendered_once(tmp_path, monkeypatch):
    stores, truth = made(tmp_path, (0.5, 1), exclusive=False)
    scorer, asked = RenderedBlends(stores, truth), []
    scores = Dice.scores
    monkeypatch.setattr(Dice, "scores", lambda self, *given: asked.append(1) or scores(self, *given))
    for weights in ([1, 1], None, [2, 2], [1, 3]):
        assert scorer(weights).score() == pytest.approx(scorer(weights, IDS).score())
    assert len(asked) == 2
