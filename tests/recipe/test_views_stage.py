"""`run.py views`: each view by the network that did not see the image, and none kept that is not sure to help."""

import json

import numpy as np
import pandas as pd
import pytest
from toy import RECIPE, draw

from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.recipe import main
from segkit.recipe.stages import predict


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("views")
    data, out = draw(root / "data", train=28, test=2), root / "run"
    flags = ["--data", str(data), "--out", str(out), "--epochs", "1", "--averaging", "none"]
    assert main(RECIPE, ["audit", "train", *flags]) == 0
    return out


def views(out, *more):
    return main(RECIPE, ["views", "--out", str(out), *more])


def told(out, name="views.json"):
    return json.loads((out / name).read_text())


def test_a_view_that_is_not_sure_to_help_is_not_kept(trained, capsys):
    """A network of one epoch; what is tried is written down, and each view stored beside the image as it is."""
    assert views(trained, "--views", "hflip, scale(1.25)*hflip, hflip*scale(1.25)") == 0
    found = told(trained)
    assert found["candidates"] == ["hflip", "hflip*scale(1.25)"]
    assert {row["view"] for row in found["views"]} == set(found["candidates"])
    kept = [row["view"] for row in found["views"] if row["kept"]]
    assert found["kept"] == (", ".join(kept) or "none")
    assert bool(kept) <= (found["held_out"]["low"] > 0)
    assert found["groups"] >= 6
    assert told(trained, "config.json")["settings"]["predict"]["views"] == found["kept"]
    assert pd.read_csv(trained / "views.csv")["view"].tolist() == [row["view"] for row in found["views"]]
    assert f'--views "{found["kept"]}"' in capsys.readouterr().out
    assert "| hflip |" in (trained / "views.md").read_text()
    stores = sorted((trained / "views").glob("*.zarr"))
    assert len(stores) == 3
    held_out = set(pd.read_csv(trained / "folds.csv").query("fold == 0")["id"])
    assert all(set(PredictionStore.open(store).done) == held_out for store in stores)
    before = [store.stat().st_mtime_ns for store in stores]
    assert views(trained, "--views", "hflip*scale(1.25)") == 0  # predicted before
    assert [store.stat().st_mtime_ns for store in stores] == before


def test_views_that_help_are_kept_and_predict_goes_on_with_them(trained, monkeypatch):
    """Predictions made up: a view that repairs half of each image, one that says nothing, one that spoils."""

    def said(run, folds, samples, store, *, view=None):
        for number, image in enumerate(samples.ids):
            masks = samples.truth[image]
            target = np.stack([resize.coverage(masks[c].mask(), store.grid) for c in samples.classes])
            noise = np.random.default_rng(number).normal(0, 3, target.shape)
            cover = 4 * target - 2
            store[image] = {"identity": cover + noise, "hflip": cover - noise, "vflip": cover * 0 - 0.01,
                              "rot180": -3 * cover}[view].astype(np.float32)  # fmt: skip

    monkeypatch.setattr(predict, "fill", said)
    for store in (trained / ".stages").glob("views.*"):
        store.unlink()
    for store in (trained / "views").glob("*.json"):
        store.unlink()
    assert views(trained, "--views", "vflip, hflip, rot180") == 0
    found = told(trained)
    assert found["kept"] == "hflip"
    assert found["held_out"]["low"] > 0
    assert told(trained, "config.json")["settings"]["predict"]["views"] == "hflip"


def test_bad_words_are_one_line(trained, tmp_path, capsys):
    assert views(trained, "--views", "none") == 2
    assert "name views to choose among" in capsys.readouterr().err
    assert views(trained, "--views", "hflp") == 2
    assert "did you mean hflip" in capsys.readouterr().err
    assert views(trained, "--views", "hflip", "--folds", "1") == 2
    assert "run the stage train first" in capsys.readouterr().err


def test_merge_and_weights_reach_the_prediction(trained, capsys):
    def logits(*more):
        assert main(RECIPE, ["predict", "--out", str(trained), "--folds", "0", "--views", "hflip", *more]) == 0
        store = PredictionStore.open(trained / "oof.zarr")
        return np.stack([store[image] for image in store.ids])

    mean = logits()
    most = logits("--tta-merge", "max")
    assert (most >= mean - 0.04).all()
    assert (most > mean + 0.04).any()
    geometric = logits("--tta-merge", "gmean")
    assert not np.array_equal(geometric, logits("--tta-merge", "3"))
    weighted = logits("--tta-merge", "mean", "--tta-weights", "{hflip: 9}")
    assert not np.array_equal(weighted, mean)
    assert np.array_equal(logits("--tta-merge", "mean", "--tta-weights", ""), mean)
    for wrong, words in {
        ("--tta-merge", "median"): "did you mean mean",
        ("--tta-weights", "{rot90: 2}"): "weights name 'rot90'",
        ("--tta-weights", "2"): "expected a mapping such as",
    }.items():
        assert main(RECIPE, ["predict", "--out", str(trained), "--views", "hflip", *wrong]) == 2
        assert words in capsys.readouterr().err
        main(RECIPE, ["predict", "--out", str(trained), "--tta-merge", "mean", "--tta-weights", ""])
