"""`run.py ensemble`: equal weights until other groups say otherwise, and one submission of what was scored."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from toy import CLASSES, RECIPE, draw

from segkit import metrics, submission
from segkit.ensemble import BlendSpace, blend, nested
from segkit.geometry import resize
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.recipe import main
from segkit.recipe.recipe import folder_layout
from segkit.recipe.stages.ensemble import tables


def predict(path, ids, truth, noise, seed, size=(32, 32)):
    """A store of the truth, blurred by noise."""
    rng = np.random.default_rng(seed)
    store = PredictionStore.create(
        path, ids=ids, classes=CLASSES, sizes={i: truth[i]["disc"].shape for i in ids}, grid=size
    )
    for image in ids:
        cover = np.stack([resize.coverage(truth[image][cls].mask(), size) for cls in CLASSES])
        store[image] = (6 * cover - 3 + rng.normal(0, noise, cover.shape)).astype(np.float32)
    return store


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, and three runs' predictions: two as good as each other, one that is noise."""
    root = tmp_path_factory.mktemp("ensemble")
    data = draw(root / "data", train=24, test=3)
    train, test = folder_layout(data)
    truth = train.truth
    for seed, (name, noise) in enumerate({"a": 1.5, "b": 1.5, "noise": 12.0}.items()):
        predict(root / name / "oof.zarr", train.ids, truth, noise, seed)
        predict(root / name / "test.zarr", test.ids, test.truth, noise, seed + 10)
    return root, data, truth


def ensemble(world, out, *names):
    root, data, _ = world
    members = [str(root / name) for name in names]
    return main(RECIPE, ["ensemble", "--data", str(data), "--out", str(out), "--members", *members])


@pytest.fixture(scope="module")
def alike(world):
    assert ensemble(world, world[0] / "alike", "a", "b") == 0
    return world[0] / "alike"


@pytest.fixture(scope="module")
def unlike(world):
    assert ensemble(world, world[0] / "unlike", "noise", "a") == 0
    return world[0] / "unlike"


def said(out):
    return json.loads((out / "ensemble.json").read_text())


def stores(world, kind, *names):
    return [PredictionStore.open(world[0] / name / f"{kind}.zarr") for name in names]


def test_members_alike_are_averaged(world, alike):
    found = said(alike)
    assert found["kept"] == "equal weights"
    assert found["weights"] == [0.5, 0.5]
    space = BlendSpace(stores(world, "oof", "a", "b"), world[2])
    assert found["equal"] == pytest.approx(space.dice().mean())
    assert found["scores"] == pytest.approx([space.dice([1, 0]).mean(), space.dice([0, 1]).mean()])
    assert found["over_best_member"]["gain"] == pytest.approx(found["equal"] - max(found["scores"]))
    assert found["over_best_member"]["low"] > 0  # of independent noise the mean is better


def test_the_submission_is_the_tuned_pipeline_on_the_very_blend(world, alike):
    store, pipeline = PredictionStore.open(alike / "test.zarr"), Pipeline.load(alike / "post.json")
    sent = submission.read(alike / "submission.csv")
    for image in store.ids:
        mean = np.mean([one[image] for one in stores(world, "test", "a", "b")], axis=0)
        assert np.abs(store[image] - mean).max() <= store.scale / 2 + 1e-6
        for cls in CLASSES:
            assert sent[image][cls] == pipeline.mask(store.plane(image, cls), store.sizes[image], cls)


def test_the_scores_are_those_of_what_is_submitted(world, alike):
    """The held-out table of the blend, by the definition: thresholds of others, at full resolution."""
    summary = json.loads((alike / "summary.json").read_text())
    table = pd.read_csv(alike / "oof_scores.csv", index_col=0)
    assert summary["score"] == pytest.approx(metrics.score(table), abs=1e-6)
    assert summary["ensemble"] == said(alike)
    assert {"score_tuned", "score_test"} <= set(summary)
    page = (alike / "report.html").read_text()
    assert "The blend" in page
    assert "over the best member alone" in page
    plain = render(stores(world, "oof", "a", "b"))
    exact = metrics.Dice().table(plain, world[2])
    assert summary["score_untuned"] == pytest.approx(metrics.score(exact), abs=2e-3)  # levels are rounded to 1/32


def test_a_member_of_noise_gets_less_where_others_gain_by_it(world, unlike):
    found = said(unlike)
    assert found["kept"] == "weights"
    assert found["weights"][1] > 0.8
    assert found["gain"]["low"] > 0
    check = nested(BlendSpace(stores(world, "oof", "noise", "a"), world[2]), groups(world))
    assert found["tuned"] == pytest.approx(check.tuned)
    assert found["held_out"] == pytest.approx(check.held_out)
    test = PredictionStore.open(unlike / "test.zarr")
    image = test.ids[0]
    parts = [store[image] for store in stores(world, "test", "noise", "a")]
    assert np.abs(test[image] - np.average(parts, axis=0, weights=found["weights"])).max() < test.scale


def groups(world):
    return folder_layout(world[1])[0].groups


def test_held_out_images_are_blended_by_what_other_groups_chose(world, unlike):
    """At .5 they score what the nested check says, but for the rounding of stored logits."""
    check = nested(BlendSpace(stores(world, "oof", "noise", "a"), world[2]), groups(world))
    store = PredictionStore.open(unlike / "oof.zarr")
    exact = metrics.Dice().table(render(store), world[2]).loc[list(world[2].ids)]
    assert exact.to_numpy() == pytest.approx(check.scores.cells, abs=0.03)
    assert metrics.score(exact) == pytest.approx(check.held_out, abs=3e-3)
    assert not list((unlike / "cache").glob("blend*.zarr"))


def test_a_second_run_blends_nothing_again_and_a_new_prediction_does(world, alike, capsys):
    before = (alike / "ensemble.json").stat().st_mtime_ns
    assert ensemble(world, alike, "a", "b") == 0
    assert (alike / "ensemble.json").stat().st_mtime_ns == before
    assert "(as before)" in capsys.readouterr().out
    root = world[0]
    out, copy = root / "changed", root / "copy"
    shutil.copytree(root / "b", copy)
    assert ensemble(world, out, "a", "copy") == 0
    first, sent = said(out), (out / "submission.csv").read_text()
    for name in ("oof.zarr", "test.zarr"):
        store = PredictionStore.open(copy / name)
        for image in store.ids:
            store[image] = -store[image]
    assert ensemble(world, out, "a", "copy") == 0
    assert said(out)["scores"][1] < first["scores"][1] - 0.1
    assert (out / "submission.csv").read_text() != sent


def test_images_that_one_member_lacks_are_left_out(world):
    root, _, truth = world
    part = root / "part"
    predict(part / "oof.zarr", truth.ids[:16], truth, 1.5, 7)
    shutil.copytree(root / "b" / "test.zarr", part / "test.zarr")
    assert ensemble(world, root / "some", "a", "part") == 0
    assert said(root / "some")["images"] == 16
    assert len(PredictionStore.open(root / "some" / "oof.zarr")) == 16


def test_bad_members_are_one_line(world, capsys):
    root, data, truth = world
    assert main(RECIPE, ["ensemble", "--data", str(data), "--out", str(root / "x")]) == 2
    assert "expected two or more different run folders" in capsys.readouterr().err
    assert ensemble(world, root / "x", "a", "a") == 2
    assert "two or more different" in capsys.readouterr().err
    assert ensemble(world, root / "x", "a", "nowhere") == 2
    assert "nowhere has no oof.zarr: run the stage predict there first" in capsys.readouterr().err
    assert ensemble(world, root / "a", "a", "b") == 2
    assert "name another --out" in capsys.readouterr().err
    apart = root / "apart"
    predict(apart / "oof.zarr", truth.ids[:4], truth, 1.5, 7)
    shutil.copytree(root / "b" / "test.zarr", apart / "test.zarr")
    rest = root / "rest"
    predict(rest / "oof.zarr", truth.ids[4:8], truth, 1.5, 7)
    shutil.copytree(root / "b" / "test.zarr", rest / "test.zarr")
    assert ensemble(world, root / "x", "apart", "rest") == 2
    assert "no image is held out by all of" in capsys.readouterr().err


def test_of_two_groups_nothing_is_weighed():
    found = {"members": ["a", "b"], "scores": [0.5, 0.6], "weights": [0.5, 0.5], "images": 4, "equal": 0.6,
             "gain": None,
             "kept": "equal weights", "over_best_member": {"gain": 0.01, "low": None}}  # fmt: skip
    ((title, words, table),) = tables(found)
    assert (title, table["weight"].tolist()) == ("The blend", [0.5, 0.5])
    assert "no interval of so few groups" in words


def test_trained_runs_are_blended_without_naming_the_data_again(tmp_path, capsys):
    data, runs = draw(tmp_path / "data", train=12, test=2), [tmp_path / "a", tmp_path / "b"]
    stages, common = ["audit", "train", "predict"], ["--data", str(data), "--epochs", "1", "--averaging", "none"]
    for seed, out in enumerate(runs):
        assert main(RECIPE, [*stages, *common, "--out", str(out), "--lr", f"0.0{seed + 1}"]) == 0
    blend_of = ["ensemble", "--members", *map(str, runs), "--out", str(tmp_path / "blend")]
    assert main(RECIPE, blend_of) == 0
    config = json.loads((tmp_path / "blend" / "config.json").read_text())["settings"]
    assert config["run"]["data"] == str(data)
    assert main(RECIPE, ["tune", "submit", "report", "--out", str(tmp_path / "blend"), "--trials", "4"]) == 0
    assert main(RECIPE, [*blend_of[:-1], str(runs[0] / "blend")]) == 0
    other = draw(tmp_path / "other", train=8, test=2)
    assert main(RECIPE, [*stages, "--data", str(other), *common[2:], "--out", str(tmp_path / "c")]) == 0
    assert main(RECIPE, ["ensemble", "--members", str(runs[0]), str(tmp_path / "c"), "--out", str(tmp_path / "x")]) == 2
    assert "saw other training images" in capsys.readouterr().err


def test_blend_of_some_images_alone(world):
    made = stores(world, "oof", "a", "b")
    ids = list(made[0].ids[3:5])
    part = blend(made, out=world[0] / "two.zarr", ids=ids)
    assert list(part.ids) == ids
    assert np.abs(part[ids[0]] - (made[0][ids[0]] + made[1][ids[0]]) / 2).max() <= part.scale / 2
    with pytest.raises(ValueError, match="remove it, or name another"):
        blend(made, out=world[0] / "two.zarr")
